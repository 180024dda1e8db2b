"""Where the services do not agree about an order."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.orders import domain
from services.orders.domain import NOTHING
from services.orders.reconciliation.domain import (
    GRACE,
    PATIENCE,
    REPAIRS,
    Kind,
    Repair,
    compare,
)
from services.orders.reconciliation.records import (
    BrokenHistory,
    IndexEntry,
    Part,
    Records,
    SagaEntry,
    merge,
)
from services.orders.reconciliation.tests.reconciling import (
    GIVEN_BACK,
    LONG_AGO,
    ORDER,
    TAKEN,
    bought,
    build_order,
    build_payment,
    build_redemption,
    build_reservation,
    given_back,
)
from services.orders.tests.fakes import KIBBLE, NOW

PLAIN = (*TAKEN[1:],)
DECLINED = (
    domain.PaymentStarted(),
    domain.PaymentDeclined(decline_reason="CARD_DECLINED"),
    domain.OrderCancelled(reason="PAYMENT_DECLINED"),
    domain.PaymentSettled(refunded=NOTHING),
    domain.StockReleased(),
)
ON_THE_WAY = TAKEN[:2]
DUE = SagaEntry(order_id=ORDER, due_at=NOW)
JUST_NOW = NOW - GRACE + timedelta.resolution


def kinds(records):
    return [found.kind for found in compare(records, NOW)]


def in_motion(at=LONG_AGO, **changes):
    changes = {"saga": DUE, "payment": None, "order": build_order(*ON_THE_WAY, at=at)} | changes
    return bought(**changes)


def alone(**parts):
    return Records(order_id=ORDER, **parts)


@pytest.mark.parametrize(
    "records",
    [
        bought(),
        given_back(),
        bought(order=build_order(*PLAIN, promo_code=""), redemption=None),
        bought(
            order=build_order(
                *TAKEN,
                domain.OrderPreparationStarted(),
                domain.OrderShipped(tracking_number="n"),
                domain.OrderDelivered(),
            )
        ),
        bought(
            order=build_order(*TAKEN, items=(KIBBLE, KIBBLE), discount=Decimal("28.38")),
            reservation=build_reservation(lines={KIBBLE.product_id: 2 * KIBBLE.quantity}),
        ),
        given_back(reservation=build_reservation(state="EXPIRED")),
        given_back(reservation=None),
        given_back(
            order=build_order(*DECLINED, promo_code=""),
            payment=build_payment(status="DECLINED"),
            redemption=None,
        ),
        given_back(order=build_order(*DECLINED, promo_code=""), payment=None, redemption=None),
        in_motion(),
    ],
)
def test_an_order_on_which_all_agree_is_no_discrepancy(records):
    assert kinds(records) == []


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (bought(payment=None), Kind.ORDER_NOT_PAID),
        (bought(payment=build_payment(status="REFUNDED")), Kind.ORDER_NOT_PAID),
        (bought(payment=build_payment(status="DECLINED")), Kind.ORDER_NOT_PAID),
        (bought(payment=build_payment(amount=Decimal("1.00"))), Kind.PAYMENT_DIFFERS),
        (bought(payment=build_payment(currency="USD")), Kind.PAYMENT_DIFFERS),
        (bought(reservation=None), Kind.STOCK_NOT_SOLD),
        (bought(reservation=build_reservation(state="HELD")), Kind.STOCK_NOT_SOLD),
        (bought(reservation=build_reservation(state="EXPIRED")), Kind.STOCK_NOT_SOLD),
        (bought(reservation=build_reservation(state="RELEASED", lines={})), Kind.STOCK_NOT_SOLD),
        (bought(reservation=build_reservation(lines={KIBBLE.product_id: 1})), Kind.STOCK_DIFFERS),
        (bought(reservation=build_reservation(lines={"other": 2})), Kind.STOCK_DIFFERS),
        (bought(redemption=None), Kind.PROMO_NOT_REDEEMED),
        (bought(redemption=build_redemption(state="RELEASED")), Kind.PROMO_NOT_REDEEMED),
        (bought(redemption=build_redemption(code="OTHER")), Kind.PROMO_DIFFERS),
        (bought(redemption=build_redemption(user_id="bob")), Kind.PROMO_DIFFERS),
        (bought(order=build_order(*PLAIN, promo_code="")), Kind.PROMO_UNEXPECTED),
        (given_back(payment=build_payment()), Kind.PAYMENT_NOT_RETURNED),
        (given_back(payment=build_payment(status="PENDING")), Kind.PAYMENT_NOT_RETURNED),
        (given_back(payment=build_payment(status="VOIDED")), Kind.REFUND_TOO_SMALL),
        (given_back(payment=None), Kind.REFUND_TOO_SMALL),
        (given_back(reservation=build_reservation()), Kind.STOCK_NOT_RELEASED),
        (given_back(reservation=build_reservation(state="HELD")), Kind.STOCK_NOT_RELEASED),
        (given_back(redemption=build_redemption()), Kind.PROMO_NOT_RELEASED),
        (bought(index=None), Kind.INDEX_MISSING),
        (bought(saga=None), Kind.SAGA_MISSING),
        (bought(saga=DUE), Kind.SAGA_DUE_IN_VAIN),
        (in_motion(saga=None), Kind.SAGA_MISSING),
        (in_motion(saga=SagaEntry(order_id=ORDER, due_at=None)), Kind.SAGA_NOT_DUE),
        (in_motion(index=None), Kind.INDEX_MISSING),
        (alone(payment=build_payment()), Kind.PAYMENT_WITHOUT_ORDER),
        (alone(payment=build_payment(status="PENDING")), Kind.PAYMENT_WITHOUT_ORDER),
        (alone(reservation=build_reservation()), Kind.STOCK_WITHOUT_ORDER),
        (alone(reservation=build_reservation(state="HELD")), Kind.HOLD_OVERDUE),
        (alone(redemption=build_redemption()), Kind.PROMO_WITHOUT_ORDER),
        (alone(redemption=build_redemption(redeemed_at=None)), Kind.PROMO_WITHOUT_ORDER),
        (bought(order=None, broken=BrokenHistory(order_id=ORDER)), Kind.HISTORY_BROKEN),
        (alone(saga=DUE), Kind.HISTORY_LOST),
    ],
)
def test_what_does_not_agree_has_a_kind(records, kind):
    assert kinds(records) == [kind]


def test_the_goods_of_an_order_whose_history_is_lost_are_not_touched():
    assert kinds(bought(order=None)) == [Kind.HISTORY_LOST]
    assert kinds(bought(order=None, saga=None)) == [Kind.HISTORY_LOST]
    assert Kind.HISTORY_LOST not in REPAIRS


def test_one_order_may_be_wrong_in_several_ways():
    records = given_back(
        payment=build_payment(), reservation=build_reservation(), redemption=build_redemption()
    )
    assert kinds(records) == [
        Kind.PAYMENT_NOT_RETURNED,
        Kind.STOCK_NOT_RELEASED,
        Kind.PROMO_NOT_RELEASED,
    ]


@pytest.mark.parametrize("events", [TAKEN, GIVEN_BACK, ON_THE_WAY])
def test_an_order_that_has_just_changed_is_left_alone(events):
    at_last = alone(order=build_order(*events, at=NOW - GRACE))
    just_now = alone(order=build_order(*events, at=JUST_NOW))
    assert kinds(at_last)
    assert not kinds(just_now)


def test_what_other_services_know_of_an_order_that_moves_is_left_alone():
    assert kinds(in_motion(payment=build_payment(), reservation=None, redemption=None)) == []


@pytest.mark.parametrize(
    "parts",
    [
        {"payment": build_payment(created_at=JUST_NOW)},
        {"payment": build_payment(status="VOIDED")},
        {"payment": build_payment(status="DECLINED")},
        {"reservation": build_reservation(state="HELD", expires_at=JUST_NOW)},
        {"reservation": build_reservation(state="EXPIRED")},
        {"reservation": build_reservation(state="RELEASED")},
        {"redemption": build_redemption(redeemed_at=JUST_NOW)},
        {"redemption": build_redemption(state="RELEASED")},
    ],
)
def test_what_a_checkout_may_leave_behind_is_no_discrepancy(parts):
    assert kinds(alone(**parts)) == []


def test_an_order_may_wait_for_a_service_until_its_hold_is_over_and_then_has_to_end():
    def waiting(hold_expires_at):
        order = build_order(*ON_THE_WAY, hold_expires_at=hold_expires_at)
        return kinds(in_motion(order=order))

    assert waiting(NOW - PATIENCE + timedelta.resolution) == []
    assert waiting(NOW - PATIENCE) == [Kind.ORDER_STALLED]


def test_a_cancelled_order_that_cannot_be_settled_is_stalled():
    def settling(since):
        return kinds(given_back(order=build_order(*GIVEN_BACK[:5], at=since), saga=DUE))

    assert settling(NOW - PATIENCE + timedelta.resolution) == []
    assert settling(NOW - PATIENCE) == [Kind.ORDER_STALLED]


def test_money_that_somebody_has_to_decide_about_is_not_repaired():
    for kind in (Kind.ORDER_NOT_PAID, Kind.PAYMENT_DIFFERS, Kind.REFUND_TOO_SMALL):
        assert kind not in REPAIRS
    assert set(REPAIRS.values()) == set(Repair)


def test_a_discrepancy_tells_what_the_services_say_and_nothing_personal():
    found = compare(given_back(payment=build_payment()), NOW)[0]
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


def test_what_is_known_of_an_order_is_brought_together_by_order():
    first, second, third = (f"{digit}{ORDER[1:]}" for digit in "123")
    sources: list[Iterator[Part]] = [
        iter([build_payment(first), build_payment(third)]),
        iter([build_reservation(second), build_reservation(third)]),
        iter([IndexEntry(order_id=first)]),
    ]
    assert list(merge(sources)) == [
        Records(order_id=first, payment=build_payment(first), index=IndexEntry(order_id=first)),
        Records(order_id=second, reservation=build_reservation(second)),
        Records(order_id=third, payment=build_payment(third), reservation=build_reservation(third)),
    ]


def test_every_kind_is_explained_to_the_platform_team():
    page = Path(__file__).parents[4] / "docs" / "reconciliation.md"
    explained = page.read_text(encoding="utf-8")
    assert [kind for kind in Kind if f"`{kind}`" not in explained] == []
