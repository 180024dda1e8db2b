"""What somebody who follows an order is told."""

from dataclasses import replace
from decimal import Decimal

from services.orders.domain import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    Recorded,
    StockReleased,
    fold,
)
from services.orders.tests.fakes import NOW, build_placed
from services.orders.tracking import domain

FORWARD = [
    PromoRedeemed(),
    PaymentStarted(),
    PaymentCaptured(payment_id="p"),
    OrderConfirmed(),
    OrderPreparationStarted(),
    OrderShipped(tracking_number="TRACK"),
    OrderDelivered(),
]
SETTLED = PaymentSettled(refunded=Decimal("0.00"))


def recorded(*events):
    return [
        Recorded(sequence=number, time=NOW, event=event)
        for number, event in enumerate((build_placed(), *events), 1)
    ]


def told(changes):
    return [(order.sequence, str(order.status)) for order in changes]


def test_each_new_status_is_told_with_its_place_in_the_history():
    order, changes = domain.begin("o", recorded(*FORWARD))
    assert order == fold("o", recorded(*FORWARD))
    assert told(changes) == [
        (1, "PENDING"),
        (3, "PAYMENT_PROCESSING"),
        (5, "CONFIRMED"),
        (6, "PROCESSING"),
        (7, "SHIPPED"),
        (8, "DELIVERED"),
    ]


def test_what_happens_later_is_told_as_if_it_had_been_there():
    history = recorded(*FORWARD)
    for cut in range(1, len(history) + 1):
        early, before = domain.begin("o", history[:cut])
        late, after = domain.advance(early, history[cut:])
        assert (late, [*before, *after]) == domain.begin("o", history)


def test_nothing_new_is_nothing_to_tell():
    order, _ = domain.begin("o", recorded(*FORWARD))
    assert domain.advance(order, []) == (order, [])


def test_an_order_is_over_when_it_is_delivered():
    assert not domain.is_over(fold("o", recorded(*FORWARD[:-1])))
    assert domain.is_over(fold("o", recorded(*FORWARD)))


def test_a_cancelled_order_is_over_when_its_money_is_settled():
    cancelled = recorded(OrderCancelled(reason="why"), SETTLED, StockReleased())
    assert [domain.is_over(fold("o", cancelled[:count])) for count in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]


def test_an_order_is_bought_from_its_confirmation_until_it_is_given_up():
    history = recorded(*FORWARD)
    bought = [fold("o", history[:count]).is_bought for count in range(1, len(history) + 1)]
    assert bought == [False] * 4 + [True] * 4
    given_up = [*history[:5], replace(history[5], event=OrderCancelled(reason="why"))]
    assert not fold("o", given_up).is_bought
