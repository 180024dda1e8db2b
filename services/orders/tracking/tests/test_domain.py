"""The status changes of an order."""

from dataclasses import replace
from decimal import Decimal

from services.orders.domain import fold
from services.orders.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    RecordedEvent,
    StockReleased,
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


def record(*events):
    return [
        RecordedEvent(sequence=number, time=NOW, event=event)
        for number, event in enumerate((build_placed(), *events), 1)
    ]


def summarize(changes):
    return [(order.sequence, str(order.status)) for order in changes]


def test_each_change_of_the_status_is_found_with_its_sequence():
    order, changes = domain.replay("o", record(*FORWARD))
    assert order == fold("o", record(*FORWARD))
    assert summarize(changes) == [
        (1, "PENDING"),
        (3, "PAYMENT_PROCESSING"),
        (5, "CONFIRMED"),
        (6, "PROCESSING"),
        (7, "SHIPPED"),
        (8, "DELIVERED"),
    ]


def test_advancing_finds_the_same_changes_as_a_replay():
    history = record(*FORWARD)
    for cut in range(1, len(history) + 1):
        early, before = domain.replay("o", history[:cut])
        late, after = domain.advance(early, history[cut:])
        assert (late, [*before, *after]) == domain.replay("o", history)


def test_without_new_events_nothing_changes():
    order, _ = domain.replay("o", record(*FORWARD))
    assert domain.advance(order, []) == (order, [])


def test_an_order_is_terminal_when_it_is_delivered():
    assert not domain.is_terminal(fold("o", record(*FORWARD[:-1])))
    assert domain.is_terminal(fold("o", record(*FORWARD)))


def test_a_cancelled_order_is_terminal_when_its_payment_is_settled():
    cancelled = record(OrderCancelled(reason="why"), SETTLED, StockReleased())
    assert [domain.is_terminal(fold("o", cancelled[:count])) for count in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]


def test_an_order_is_purchased_from_its_confirmation_until_it_is_cancelled():
    history = record(*FORWARD)
    purchased = [fold("o", history[:count]).is_purchased for count in range(1, len(history) + 1)]
    assert purchased == [False] * 4 + [True] * 4
    cancelled = [*history[:5], replace(history[5], event=OrderCancelled(reason="why"))]
    assert not fold("o", cancelled).is_purchased
