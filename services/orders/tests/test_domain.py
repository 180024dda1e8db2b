"""The business rules of an order."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.orders import domain, errors
from services.orders.domain import Step
from services.orders.events import (
    Event,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentDeclined,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    PromoReleased,
    RecordedEvent,
    StockReleased,
)
from services.orders.states import OrderStatus, PaymentStatus
from services.orders.tests.fakes import NOW, build_placed

REDEEMED = PromoRedeemed()
STARTED = PaymentStarted()
CAPTURED = PaymentCaptured(payment_id="p")
DECLINED = PaymentDeclined(decline_reason="CARD_DECLINED")
CONFIRMED = OrderConfirmed()
PREPARING = OrderPreparationStarted()
SHIPPED = OrderShipped(tracking_number="TRACK")
DELIVERED = OrderDelivered()
CANCELLED = OrderCancelled(reason="changed my mind")
PAID = (REDEEMED, STARTED, CAPTURED)


def order(*events: Event, **placed):
    history = [build_placed(**placed), *events]
    return domain.fold(
        "o",
        [RecordedEvent(sequence=n, time=NOW, event=event) for n, event in enumerate(history, 1)],
    )


def test_a_placed_order_is_pending_and_has_its_amounts():
    placed = order()
    assert (placed.status, placed.payment_status) == (OrderStatus.PENDING, PaymentStatus.PENDING)
    assert (placed.total_amount, placed.final_amount) == (Decimal("25.80"), Decimal("23.22"))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((REDEEMED,), "PENDING"),
        ((REDEEMED, STARTED), "PAYMENT_PROCESSING"),
        (PAID, "PAYMENT_PROCESSING"),
        ((*PAID, CONFIRMED), "CONFIRMED"),
        ((*PAID, CONFIRMED, PREPARING), "PROCESSING"),
        ((*PAID, CONFIRMED, PREPARING, SHIPPED), "SHIPPED"),
        ((*PAID, CONFIRMED, PREPARING, SHIPPED, DELIVERED), "DELIVERED"),
        ((CANCELLED,), "CANCELLED"),
    ],
)
def test_each_event_leads_to_a_status(events, status):
    after = order(*events)
    assert after.status == status
    assert after.sequence == 1 + len(events)


@pytest.mark.parametrize(
    ("events", "status", "refund"),
    [
        ((*PAID, CANCELLED), "REFUNDING", "23.22"),
        ((*PAID, CANCELLED, PaymentSettled(refunded=Decimal("23.22"))), "REFUNDED", "23.22"),
        ((CANCELLED, PaymentSettled(refunded=Decimal(0))), "NOT_CHARGED", "0"),
        ((DECLINED, CANCELLED, PaymentSettled(refunded=Decimal(0))), "DECLINED", "0"),
        ((STARTED, CANCELLED, PaymentSettled(refunded=Decimal("23.22"))), "REFUNDED", "23.22"),
    ],
)
def test_a_cancelled_order_has_a_payment_status_and_a_refund(events, status, refund):
    after = order(*events)
    assert (after.payment_status, after.refund_amount) == (status, Decimal(refund))


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ((), Step.REDEEM_PROMO),
        ((REDEEMED,), Step.START_PAYMENT),
        ((REDEEMED, STARTED), Step.CAPTURE_PAYMENT),
        (PAID, Step.COMMIT_STOCK),
        ((*PAID, CONFIRMED), None),
        ((*PAID, CONFIRMED, PREPARING, SHIPPED, DELIVERED), None),
        ((CANCELLED,), Step.REFUND_PAYMENT),
        ((CANCELLED, PaymentSettled(refunded=Decimal(0))), Step.RELEASE_PROMO),
        ((CANCELLED, PaymentSettled(refunded=Decimal(0)), PromoReleased()), Step.RELEASE_STOCK),
        (
            (CANCELLED, PaymentSettled(refunded=Decimal(0)), PromoReleased(), StockReleased()),
            None,
        ),
    ],
)
def test_the_next_step_follows_from_the_events(events, step):
    assert domain.next_step(order(*events), NOW) is step


def test_an_order_without_a_code_has_nothing_to_redeem_or_release():
    assert domain.next_step(order(promo_code=""), NOW) is Step.START_PAYMENT
    settled = (CANCELLED, PaymentSettled(refunded=Decimal(0)))
    assert domain.next_step(order(*settled, promo_code=""), NOW) is Step.RELEASE_STOCK


@pytest.mark.parametrize("events", [(), (REDEEMED,), (REDEEMED, STARTED)])
def test_an_unpaid_order_expires_with_its_hold(events):
    assert domain.next_step(order(*events), NOW + timedelta(minutes=15)) is Step.EXPIRE


def test_a_paid_order_does_not_expire():
    assert domain.next_step(order(*PAID), NOW + timedelta(days=1)) is Step.COMMIT_STOCK


@pytest.mark.parametrize(
    "events", [(), (REDEEMED, STARTED), (*PAID, CONFIRMED), (*PAID, CONFIRMED, PREPARING)]
)
def test_an_order_can_be_cancelled_until_it_is_shipped(events):
    assert domain.cancel(order(*events), "why") == [OrderCancelled(reason="why")]


@pytest.mark.parametrize("last", [(SHIPPED,), (SHIPPED, DELIVERED)])
def test_a_shipped_order_cannot_be_cancelled(last):
    with pytest.raises(errors.OrderNotCancellableError):
        domain.cancel(order(*PAID, CONFIRMED, PREPARING, *last), "why")


def test_cancelling_again_changes_nothing():
    assert domain.cancel(order(CANCELLED), "again") == []


def test_an_order_is_fulfilled_one_state_at_a_time():
    confirmed = (*PAID, CONFIRMED)
    assert domain.change_status(order(*confirmed), OrderStatus.PROCESSING) == [PREPARING]
    packed = order(*confirmed, PREPARING)
    assert domain.change_status(packed, OrderStatus.SHIPPED, "TRACK") == [SHIPPED]
    shipped = order(*confirmed, PREPARING, SHIPPED)
    assert domain.change_status(shipped, OrderStatus.DELIVERED) == [DELIVERED]


def test_changing_to_the_current_status_changes_nothing():
    assert domain.change_status(order(*PAID, CONFIRMED, PREPARING), OrderStatus.PROCESSING) == []


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ((), OrderStatus.PROCESSING),
        ((*PAID, CONFIRMED), OrderStatus.SHIPPED),
        ((*PAID, CONFIRMED), OrderStatus.DELIVERED),
        ((*PAID, CONFIRMED, PREPARING, SHIPPED, DELIVERED), OrderStatus.SHIPPED),
        ((CANCELLED,), OrderStatus.PROCESSING),
    ],
)
def test_states_are_neither_skipped_nor_repeated(events, wanted):
    with pytest.raises(errors.WrongTransitionError):
        domain.change_status(order(*events), wanted)


def test_every_event_type_is_applied():
    for event_type in Event.__subclasses__():
        if event_type is not OrderPlaced:
            blank = {
                name: Decimal(0) if name == "refunded" else ""
                for name in event_type.__annotations__
            }
            assert order(event_type(**blank)).sequence == 2
