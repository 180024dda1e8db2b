"""The states of a payment and its transitions."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.payments import domain
from services.payments.domain import Captured, Declined, PaymentStatus, Voided
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
VOIDED_WITHOUT_PAYMENT = build_voided()
AGAIN = build_payment(payment_id="another")
OUTCOMES = [Captured("t"), Declined("CARD_DECLINED"), Voided()]


def test_the_first_call_for_an_order_starts_its_payment():
    assert domain.start(None, PENDING) == PENDING


@pytest.mark.parametrize("existing", [PENDING, CAPTURED, DECLINED])
def test_starting_again_changes_nothing(existing):
    assert domain.start(existing, AGAIN) == existing


@pytest.mark.parametrize("existing", [CLOSING, REFUNDED, VOIDED, VOIDED_WITHOUT_PAYMENT])
def test_starting_a_closed_payment_is_rejected(existing):
    with pytest.raises(domain.PaymentClosedError):
        domain.start(existing, AGAIN)


@pytest.mark.parametrize("existing", [PENDING, CAPTURED, DECLINED])
@pytest.mark.parametrize("other", [{"amount": Decimal("12.91")}, {"currency": "USD"}])
def test_starting_with_another_amount_is_rejected(existing, other):
    with pytest.raises(domain.PaymentMismatchError):
        domain.start(existing, build_payment(**other))


def test_an_order_of_zero_is_captured_at_once():
    free = build_payment(amount=Decimal("0.00"))
    assert domain.start(None, free) == replace(free, status=PaymentStatus.CAPTURED)


@pytest.mark.parametrize(
    ("outcome", "recorded"),
    [
        (Captured("t"), CAPTURED),
        (Declined("CARD_DECLINED"), DECLINED),
        (Voided(), replace(PENDING, status=PaymentStatus.VOIDED)),
    ],
)
def test_the_first_outcome_is_recorded(outcome, recorded):
    assert domain.record_capture(PENDING, outcome) == recorded


@pytest.mark.parametrize("existing", [CAPTURED, DECLINED, REFUNDED, VOIDED])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_second_outcome_changes_nothing(existing, outcome):
    assert domain.record_capture(existing, outcome) == existing


def test_a_late_capture_records_which_transaction_to_refund():
    assert domain.record_capture(CLOSING, Captured("t")) == replace(CLOSING, transaction_id="t")


@pytest.mark.parametrize("outcome", [Declined("CARD_DECLINED"), Voided()])
def test_a_late_decline_leaves_the_payment_closing(outcome):
    assert domain.record_capture(CLOSING, outcome) == CLOSING


def test_refunding_before_there_is_a_payment_prevents_one():
    voided = domain.request_refund(None, VOIDED_WITHOUT_PAYMENT)
    assert voided == VOIDED_WITHOUT_PAYMENT
    with pytest.raises(domain.PaymentClosedError):
        domain.start(voided, PENDING)


@pytest.mark.parametrize("existing", [PENDING, CAPTURED])
def test_requesting_a_refund_records_the_intention_when_money_may_be_captured(existing):
    closing = replace(existing, status=PaymentStatus.CLOSING, close_reason="HOLD_EXPIRED")
    assert domain.request_refund(existing, VOIDED_WITHOUT_PAYMENT) == closing


def test_an_order_of_zero_is_refunded_at_once():
    free = replace(CAPTURED, amount=domain.ZERO, transaction_id="")
    refunded = domain.request_refund(free, VOIDED_WITHOUT_PAYMENT)
    assert (refunded.status, refunded.refunded_amount) == (PaymentStatus.REFUNDED, domain.ZERO)


@pytest.mark.parametrize("existing", [DECLINED, CLOSING, REFUNDED, VOIDED, VOIDED_WITHOUT_PAYMENT])
def test_refunding_again_or_a_declined_payment_changes_nothing(existing):
    assert domain.request_refund(existing, build_voided(close_reason="another")) == existing


def test_captured_money_is_refunded_in_full():
    assert domain.complete_refund(CLOSING, Captured("t")) == REFUNDED


@pytest.mark.parametrize("outcome", [Declined("CARD_DECLINED"), Voided()])
def test_a_payment_without_captured_money_is_voided(outcome):
    assert domain.complete_refund(CLOSING, outcome) == VOIDED


@pytest.mark.parametrize("existing", [REFUNDED, VOIDED])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_completing_a_refund_again_changes_nothing(existing, outcome):
    assert domain.complete_refund(existing, outcome) == existing


def test_a_capture_is_recorded_with_its_transaction():
    assert domain.recorded_capture(CLOSING) is None
    assert domain.recorded_capture(CAPTURED) == Captured("t")


@pytest.mark.parametrize("payment", [PENDING, CAPTURED, DECLINED])
def test_a_payment_is_open_until_its_refund_is_requested(payment):
    assert domain.require_open(payment) == payment


def test_the_key_of_a_refund_is_derived_from_the_payment():
    assert PENDING.refund_key == f"{PENDING.payment_id}:refund"
