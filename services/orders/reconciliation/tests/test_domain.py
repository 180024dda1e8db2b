"""The discrepancies of an order, kind by kind."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.orders import events
from services.orders.domain import ZERO
from services.orders.reconciliation.domain import (
    GRACE_PERIOD,
    REDEMPTION_AGE,
    REPAIRS,
    STALL_TIMEOUT,
    Kind,
    Repair,
    compare,
)
from services.orders.reconciliation.records import (
    BrokenHistory,
    IndexEntry,
    OrderRecords,
    Record,
    SagaEntry,
    merge,
)
from services.orders.reconciliation.tests.fakes import (
    COMPENSATED,
    CONFIRMED,
    LONG_AGO,
    ORDER,
    build_order,
    build_payment,
    build_redemption,
    build_reservation,
    compensated,
    purchased,
)
from services.orders.tests.fakes import KIBBLE, NOW

WITHOUT_PROMO = (*CONFIRMED[1:],)
DECLINED = (
    events.PaymentStarted(),
    events.PaymentDeclined(decline_reason="CARD_DECLINED"),
    events.OrderCancelled(reason="PAYMENT_DECLINED"),
    events.PaymentSettled(refunded=ZERO),
    events.StockReleased(),
)
IN_PROGRESS = CONFIRMED[:2]
DUE = SagaEntry(order_id=ORDER, due_at=NOW)
RECENT = NOW - GRACE_PERIOD + timedelta.resolution


def kinds(records):
    return [found.kind for found in compare(records, NOW)]


def in_progress(at=LONG_AGO, **changes):
    changes = {"saga": DUE, "payment": None, "order": build_order(*IN_PROGRESS, at=at)} | changes
    return purchased(**changes)


def alone(**parts):
    return OrderRecords(order_id=ORDER, **parts)


@pytest.mark.parametrize(
    "records",
    [
        purchased(),
        compensated(),
        purchased(order=build_order(*WITHOUT_PROMO, promo_code=""), redemption=None),
        purchased(
            order=build_order(
                *CONFIRMED,
                events.OrderPreparationStarted(),
                events.OrderShipped(tracking_number="n"),
                events.OrderDelivered(),
            )
        ),
        purchased(
            order=build_order(*CONFIRMED, items=(KIBBLE, KIBBLE), discount=Decimal("28.38")),
            reservation=build_reservation(lines={KIBBLE.product_id: 2 * KIBBLE.quantity}),
        ),
        compensated(reservation=build_reservation(state="EXPIRED")),
        compensated(reservation=None),
        compensated(
            order=build_order(*DECLINED, promo_code=""),
            payment=build_payment(state="DECLINED"),
            redemption=None,
        ),
        compensated(order=build_order(*DECLINED, promo_code=""), payment=None, redemption=None),
        in_progress(),
    ],
)
def test_consistent_records_are_no_discrepancy(records):
    assert kinds(records) == []


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (purchased(payment=None), Kind.ORDER_NOT_PAID),
        (purchased(payment=build_payment(state="REFUNDED")), Kind.ORDER_NOT_PAID),
        (purchased(payment=build_payment(state="DECLINED")), Kind.ORDER_NOT_PAID),
        (purchased(payment=build_payment(amount=Decimal("1.00"))), Kind.PAYMENT_DIFFERS),
        (purchased(payment=build_payment(currency="USD")), Kind.PAYMENT_DIFFERS),
        (purchased(reservation=None), Kind.STOCK_NOT_SOLD),
        (
            purchased(reservation=build_reservation(state="HELD")),
            Kind.STOCK_NOT_SOLD,
        ),
        (
            purchased(reservation=build_reservation(state="EXPIRED")),
            Kind.STOCK_NOT_SOLD,
        ),
        (
            purchased(reservation=build_reservation(state="RELEASED", lines={})),
            Kind.STOCK_NOT_SOLD,
        ),
        (
            purchased(reservation=build_reservation(lines={KIBBLE.product_id: 1})),
            Kind.STOCK_DIFFERS,
        ),
        (purchased(reservation=build_reservation(lines={"other": 2})), Kind.STOCK_DIFFERS),
        (purchased(redemption=None), Kind.PROMO_NOT_REDEEMED),
        (
            purchased(redemption=build_redemption(state="RELEASED")),
            Kind.PROMO_NOT_REDEEMED,
        ),
        (purchased(redemption=build_redemption(code="OTHER")), Kind.PROMO_DIFFERS),
        (purchased(redemption=build_redemption(user_id="bob")), Kind.PROMO_DIFFERS),
        (purchased(order=build_order(*WITHOUT_PROMO, promo_code="")), Kind.PROMO_UNEXPECTED),
        (compensated(payment=build_payment()), Kind.PAYMENT_NOT_RETURNED),
        (compensated(payment=build_payment(state="PENDING")), Kind.PAYMENT_NOT_RETURNED),
        (compensated(payment=build_payment(state="VOIDED")), Kind.REFUND_TOO_SMALL),
        (compensated(payment=None), Kind.REFUND_TOO_SMALL),
        (compensated(reservation=build_reservation()), Kind.STOCK_NOT_RELEASED),
        (
            compensated(reservation=build_reservation(state="HELD")),
            Kind.STOCK_NOT_RELEASED,
        ),
        (compensated(redemption=build_redemption()), Kind.PROMO_NOT_RELEASED),
        (purchased(index=None), Kind.INDEX_MISSING),
        (purchased(saga=None), Kind.SAGA_MISSING),
        (purchased(saga=DUE), Kind.SAGA_DUE_IN_VAIN),
        (in_progress(saga=None), Kind.SAGA_MISSING),
        (in_progress(saga=SagaEntry(order_id=ORDER, due_at=None)), Kind.SAGA_NOT_DUE),
        (in_progress(index=None), Kind.INDEX_MISSING),
        (alone(payment=build_payment()), Kind.PAYMENT_WITHOUT_ORDER),
        (alone(payment=build_payment(state="PENDING")), Kind.PAYMENT_WITHOUT_ORDER),
        (alone(reservation=build_reservation()), Kind.STOCK_WITHOUT_ORDER),
        (alone(reservation=build_reservation(state="HELD")), Kind.HOLD_OVERDUE),
        (alone(redemption=build_redemption()), Kind.PROMO_WITHOUT_ORDER),
        (alone(redemption=build_redemption(redeemed_at=None)), Kind.PROMO_WITHOUT_ORDER),
        (purchased(order=None, broken=BrokenHistory(order_id=ORDER)), Kind.HISTORY_BROKEN),
        (alone(saga=DUE), Kind.HISTORY_LOST),
    ],
)
def test_each_discrepancy_has_a_kind(records, kind):
    assert kinds(records) == [kind]


def test_an_order_whose_history_is_lost_is_not_repaired():
    assert kinds(purchased(order=None)) == [Kind.HISTORY_LOST]
    assert kinds(purchased(order=None, saga=None)) == [Kind.HISTORY_LOST]
    assert Kind.HISTORY_LOST not in REPAIRS


def test_an_order_may_have_several_discrepancies():
    records = compensated(
        payment=build_payment(), reservation=build_reservation(), redemption=build_redemption()
    )
    assert kinds(records) == [
        Kind.PAYMENT_NOT_RETURNED,
        Kind.STOCK_NOT_RELEASED,
        Kind.PROMO_NOT_RELEASED,
    ]


@pytest.mark.parametrize("events", [CONFIRMED, COMPENSATED, IN_PROGRESS])
def test_a_recent_change_is_skipped(events):
    settled = alone(order=build_order(*events, at=NOW - GRACE_PERIOD))
    recent = alone(order=build_order(*events, at=RECENT))
    assert kinds(settled)
    assert not kinds(recent)


def test_records_of_an_order_whose_saga_runs_are_not_compared():
    assert kinds(in_progress(payment=build_payment(), reservation=None, redemption=None)) == []


@pytest.mark.parametrize(
    "parts",
    [
        {"payment": build_payment(created_at=RECENT)},
        {"payment": build_payment(state="VOIDED")},
        {"payment": build_payment(state="DECLINED")},
        {"reservation": build_reservation(state="HELD", expires_at=RECENT)},
        {"reservation": build_reservation(state="EXPIRED")},
        {"reservation": build_reservation(state="RELEASED")},
        {"redemption": build_redemption(redeemed_at=RECENT)},
        {"redemption": build_redemption(state="RELEASED")},
    ],
)
def test_the_records_of_an_aborted_checkout_are_no_discrepancy(parts):
    assert kinds(alone(**parts)) == []


def test_an_order_is_stalled_long_after_its_reservation_expired():
    def waiting(hold_expires_at):
        order = build_order(*IN_PROGRESS, hold_expires_at=hold_expires_at)
        return kinds(in_progress(order=order))

    assert waiting(NOW - STALL_TIMEOUT + timedelta.resolution) == []
    assert waiting(NOW - STALL_TIMEOUT) == [Kind.ORDER_STALLED]


def test_a_cancelled_order_is_stalled_when_it_is_not_compensated_for_long():
    def settling(since):
        return kinds(compensated(order=build_order(*COMPENSATED[:5], at=since), saga=DUE))

    assert settling(NOW - STALL_TIMEOUT + timedelta.resolution) == []
    assert settling(NOW - STALL_TIMEOUT) == [Kind.ORDER_STALLED]


def test_payments_that_a_person_has_to_decide_about_are_not_repaired():
    for kind in (Kind.ORDER_NOT_PAID, Kind.PAYMENT_DIFFERS, Kind.REFUND_TOO_SMALL):
        assert kind not in REPAIRS
    assert set(REPAIRS.values()) == set(Repair)


def test_a_discrepancy_describes_the_records_without_personal_data():
    found = compare(compensated(payment=build_payment()), NOW)[0]
    assert found.order_id == ORDER
    assert found.repair is Repair.REFUND_PAYMENT
    assert found.facts == {
        "orderStatus": "CANCELLED",
        "orderAmount": "23.22",
        "orderRefund": "23.22",
        "orderPromoCode": "WELCOME10",
        "paymentStatus": "CAPTURED",
        "paymentAmount": "23.22",
        "paymentRefund": "0.00",
        "reservationState": "RELEASED",
        "redemptionState": "RELEASED",
        "redemptionPromoCode": "WELCOME10",
    }


def test_sources_are_merged_by_order():
    first, second, third = (f"{digit}{ORDER[1:]}" for digit in "123")
    sources: list[Iterator[Record]] = [
        iter([build_payment(first), build_payment(third)]),
        iter([build_reservation(second), build_reservation(third)]),
        iter([IndexEntry(order_id=first)]),
    ]
    assert list(merge(sources)) == [
        OrderRecords(
            order_id=first, payment=build_payment(first), index=IndexEntry(order_id=first)
        ),
        OrderRecords(order_id=second, reservation=build_reservation(second)),
        OrderRecords(
            order_id=third, payment=build_payment(third), reservation=build_reservation(third)
        ),
    ]


def test_every_kind_is_documented():
    page = Path(__file__).parents[4] / "docs" / "reconciliation.md"
    documented = page.read_text(encoding="utf-8")
    assert [kind for kind in Kind if f"`{kind}`" not in documented] == []


@pytest.mark.parametrize(
    ("days", "kinds"),
    [(REDEMPTION_AGE.days - 1, [Kind.PROMO_NOT_REDEEMED]), (REDEMPTION_AGE.days, [])],
)
def test_an_old_order_is_not_asked_for_its_redemption(days, kinds):
    at = NOW - timedelta(days=days)
    order = build_order(*CONFIRMED, at=at)
    found = compare(purchased(order=order, redemption=None), NOW)
    assert [each.kind for each in found] == kinds
