"""What may become of the payment of an order."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.payments import domain
from services.payments.domain import Captured, Closed, Declined, PaymentStatus
from services.payments.tests.fakes import build_payment, build_voided

PENDING = build_payment()
CAPTURED = replace(PENDING, status=PaymentStatus.CAPTURED, transaction_id="t")
DECLINED = replace(PENDING, status=PaymentStatus.DECLINED, decline_reason="CARD_DECLINED")
CLOSING = replace(PENDING, status=PaymentStatus.CLOSING, close_reason="HOLD_EXPIRED")
REFUNDED = replace(
    CLOSING,
    status=PaymentStatus.REFUNDED,
    transaction_id="t",
    refunded_amount=PENDING.amount,
)
VOIDED = replace(CLOSING, status=PaymentStatus.VOIDED)
TOMBSTONE = build_voided()
AGAIN = build_payment(payment_id="another")
OUTCOMES = [Captured("t"), Declined("CARD_DECLINED"), Closed()]


def test_the_first_call_for_an_order_begins_its_payment():
    assert domain.begin(None, PENDING) == PENDING


@pytest.mark.parametrize("existing", [PENDING, CAPTURED, DECLINED])
def test_beginning_again_changes_nothing(existing):
    assert domain.begin(existing, AGAIN) == existing


@pytest.mark.parametrize("existing", [CLOSING, REFUNDED, VOIDED, TOMBSTONE])
def test_beginning_after_the_order_was_closed_is_refused(existing):
    with pytest.raises(domain.PaymentClosedError):
        domain.begin(existing, AGAIN)


@pytest.mark.parametrize("existing", [PENDING, CAPTURED, DECLINED])
@pytest.mark.parametrize("other", [{"amount": Decimal("12.91")}, {"currency": "USD"}])
def test_beginning_with_another_amount_is_refused(existing, other):
    with pytest.raises(domain.PaymentMismatchError):
        domain.begin(existing, build_payment(**other))


def test_an_order_of_nothing_is_paid_at_once():
    free = build_payment(amount=Decimal("0.00"))
    assert domain.begin(None, free) == replace(free, status=PaymentStatus.CAPTURED)


@pytest.mark.parametrize(
    ("outcome", "recorded"),
    [
        (Captured("t"), CAPTURED),
        (Declined("CARD_DECLINED"), DECLINED),
        (Closed(), replace(PENDING, status=PaymentStatus.VOIDED)),
    ],
)
def test_the_first_outcome_is_recorded(outcome, recorded):
    assert domain.record(PENDING, outcome) == recorded


@pytest.mark.parametrize("existing", [CAPTURED, DECLINED, REFUNDED, VOIDED])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_second_outcome_changes_nothing(existing, outcome):
    assert domain.record(existing, outcome) == existing


def test_a_capture_that_arrives_late_tells_what_to_refund():
    assert domain.record(CLOSING, Captured("t")) == replace(CLOSING, transaction_id="t")


@pytest.mark.parametrize("outcome", [Declined("CARD_DECLINED"), Closed()])
def test_a_refusal_that_arrives_late_leaves_the_payment_closing(outcome):
    assert domain.record(CLOSING, outcome) == CLOSING


def test_closing_before_there_is_a_payment_closes_the_door():
    closed = domain.close(None, TOMBSTONE)
    assert closed == TOMBSTONE
    with pytest.raises(domain.PaymentClosedError):
        domain.begin(closed, PENDING)


@pytest.mark.parametrize("existing", [PENDING, CAPTURED])
def test_closing_where_money_may_have_been_taken_is_an_intention_first(existing):
    closing = replace(existing, status=PaymentStatus.CLOSING, close_reason="HOLD_EXPIRED")
    assert domain.close(existing, TOMBSTONE) == closing


def test_closing_an_order_of_nothing_is_done_at_once():
    free = replace(CAPTURED, amount=domain.NOTHING, transaction_id="")
    closed = domain.close(free, TOMBSTONE)
    assert (closed.status, closed.refunded_amount) == (PaymentStatus.REFUNDED, domain.NOTHING)


@pytest.mark.parametrize("existing", [DECLINED, CLOSING, REFUNDED, VOIDED, TOMBSTONE])
def test_closing_again_and_closing_what_was_declined_change_nothing(existing):
    assert domain.close(existing, build_voided(close_reason="another")) == existing


def test_money_that_was_taken_is_refunded_whole():
    assert domain.finish(CLOSING, Captured("t")) == REFUNDED


@pytest.mark.parametrize("outcome", [Declined("CARD_DECLINED"), Closed()])
def test_a_payment_for_which_no_money_was_taken_is_voided(outcome):
    assert domain.finish(CLOSING, outcome) == VOIDED


@pytest.mark.parametrize("existing", [REFUNDED, VOIDED])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_finishing_again_changes_nothing(existing, outcome):
    assert domain.finish(existing, outcome) == existing


def test_a_capture_is_known_once_there_is_a_transaction():
    assert domain.known_outcome(CLOSING) is None
    assert domain.known_outcome(CAPTURED) == Captured("t")


@pytest.mark.parametrize("payment", [PENDING, CAPTURED, DECLINED])
def test_a_payment_is_open_until_it_is_being_closed(payment):
    assert domain.require_open(payment) == payment


def test_a_refund_has_a_key_of_its_own_that_follows_from_the_payment():
    assert PENDING.refund_key == f"{PENDING.payment_id}:refund"
