"""The answers of PaymentsService."""

import grpc
import pytest
import structlog
from mamie_rosa.payments.internal.v1 import payments_pb2
from structlog.testing import capture_logs

from services.common.rpc.testing import InMemoryServer
from services.payments.sandbox import SandboxProvider
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import (
    NOW,
    ORDER,
    FakeClock,
    InMemoryLedger,
    InMemoryPaymentsRepository,
    InterruptedProvider,
    Outage,
    build_processor,
)

SERVICE = payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"]
Payment = payments_pb2.Payment
GOOD = "tok_ok"


@pytest.fixture
def repository():
    return InMemoryPaymentsRepository()


@pytest.fixture
def ledger():
    return InMemoryLedger()


@pytest.fixture
def outage():
    return Outage()


@pytest.fixture
def payments(repository, ledger, outage):
    clock = FakeClock()
    sandbox = SandboxProvider(
        ledger=ledger, slow_seconds=3, timeout_seconds=10, clock=clock, sleep=clock.sleep
    )
    provider = InterruptedProvider(sandbox, outage)
    processor = build_processor(repository, provider)
    servicer = PaymentsServicer(repository=repository, processor=processor, clock=clock)
    return InMemoryServer(SERVICE, servicer)


@pytest.fixture
def log():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("debug"))
    with capture_logs() as entries:
        yield entries
    structlog.configure(**before)


def process(payments, token=GOOD, **changes):
    fields = {"order_id": ORDER, "user_id": "alice", "amount": "12.90", "currency": "EUR"}
    request = payments_pb2.ProcessPaymentRequest(payment_token=token, **{**fields, **changes})
    return payments.call("ProcessPayment", request)


def refund(payments, order_id=ORDER):
    request = payments_pb2.RefundPaymentRequest(order_id=order_id, reason="CLIENT_CANCELLED")
    return payments.call("RefundPayment", request)


def get(payments, order_id=ORDER):
    return payments.call("GetPayment", payments_pb2.GetPaymentRequest(order_id=order_id))


def test_a_payment_is_captured_and_can_be_read(payments):
    payment = process(payments).response
    assert (payment.order_id, payment.status) == (ORDER, Payment.CAPTURED)
    assert (payment.amount, payment.refunded_amount, payment.currency) == ("12.90", "0.00", "EUR")
    assert payment.payment_id
    assert payment.transaction_id
    assert payment.create_time.ToDatetime(NOW.tzinfo) == NOW
    assert get(payments).response == payment


def test_a_repeat_gets_the_same_answer_and_captures_nothing_more(payments, ledger):
    first = process(payments).response
    assert process(payments).response == first
    assert len(ledger.transactions) == 1


@pytest.mark.parametrize(
    ("token", "reason"),
    [("tok_declined", "CARD_DECLINED"), ("tok_unheard_of", "INVALID_TOKEN")],
)
def test_a_declined_payment_is_an_answer_and_stays_declined(payments, token, reason):
    payment = process(payments, token).response
    assert (payment.status, payment.decline_reason) == (Payment.DECLINED, reason)
    assert payment.transaction_id == ""
    assert process(payments, "tok_ok").response == payment


def test_a_slow_provider_is_waited_for(payments):
    assert process(payments, "tok_slow").response.status == Payment.CAPTURED


def test_an_unavailable_provider_leaves_the_payment_pending_until_the_repeat(payments):
    answer = process(payments, "tok_error")
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "PROVIDER_UNAVAILABLE",
    )
    assert get(payments).response.status == Payment.PENDING
    assert process(payments, "tok_ok").response.status == Payment.CAPTURED


def test_the_highest_amount_of_an_order_can_be_captured_and_refunded(payments):
    assert process(payments, amount="99999999.99").response.status == Payment.CAPTURED
    assert refund(payments).response.refunded_amount == "99999999.99"


def test_an_order_of_zero_is_captured_without_asking_the_provider(payments, outage):
    outage.active = True
    payment = process(payments, amount="0.00").response
    assert (payment.status, payment.transaction_id) == (Payment.CAPTURED, "")
    returned = refund(payments).response
    assert (returned.status, returned.refunded_amount) == (Payment.REFUNDED, "0.00")


@pytest.mark.parametrize("token", ["tok_ok", "tok_declined", "tok_error"])
@pytest.mark.parametrize("other", [{"amount": "12.91"}, {"currency": "USD"}])
def test_another_amount_for_the_same_order_is_rejected(payments, token, other):
    process(payments, token)
    answer = process(payments, **other)
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PAYMENT_MISMATCH")
    assert answer.facts == {"orderId": ORDER}


def test_a_captured_payment_is_refunded_in_full_and_once(payments):
    captured = process(payments).response
    refunded = refund(payments).response
    assert (refunded.status, refunded.refunded_amount) == (Payment.REFUNDED, "12.90")
    assert (refunded.payment_id, refunded.transaction_id) == (
        captured.payment_id,
        captured.transaction_id,
    )
    assert refund(payments).response == refunded


def test_an_order_without_a_payment_is_voided(payments):
    voided = refund(payments).response
    assert (voided.status, voided.refunded_amount) == (Payment.VOIDED, "0.00")
    assert refund(payments).response == voided
    assert get(payments).response == voided


@pytest.mark.parametrize("paid", [True, False])
def test_a_closed_payment_captures_nothing_more(payments, ledger, paid):
    if paid:
        process(payments)
    refund(payments)
    before = dict(ledger.transactions)
    answer = process(payments)
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_CLOSED")
    assert answer.facts == {"orderId": ORDER}
    assert ledger.transactions == before


def test_refunding_a_declined_payment_leaves_it_declined(payments):
    declined = process(payments, "tok_declined").response
    assert refund(payments).response == declined
    assert declined.refunded_amount == "0.00"


def test_refunding_a_payment_that_never_reached_the_provider_voids_it(payments):
    process(payments, "tok_error")
    voided = refund(payments).response
    assert (voided.status, voided.refunded_amount) == (Payment.VOIDED, "0.00")
    assert process(payments, "tok_ok").reason == "PAYMENT_CLOSED"


def test_a_refund_during_an_outage_closes_the_payment_and_completes_on_repeat(payments, outage):
    process(payments)
    outage.active = True
    assert refund(payments).reason == "PROVIDER_UNAVAILABLE"
    assert get(payments).response.status == Payment.PENDING
    assert process(payments).reason == "PAYMENT_CLOSED"
    outage.active = False
    assert refund(payments).response.status == Payment.REFUNDED


def list_payments(payments, **fields):
    return payments.call("ListPayments", payments_pb2.ListPaymentsRequest(**fields))


def test_payments_are_listed_in_pages_that_name_the_next(payments):
    orders = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "39f"]
    for order_id in orders:
        process(payments, order_id=order_id)
    first = list_payments(payments, page_size=2).response
    assert [payment.order_id for payment in first.payments] == orders[:2]
    last = list_payments(payments, page_token=first.next_page_token.upper()).response
    assert list(last.payments) == [get(payments, orders[2]).response]
    assert last.next_page_token == ""


@pytest.mark.parametrize("field", [{"page_size": 501}, {"page_size": -1}, {"page_token": "x"}])
def test_an_invalid_page_is_rejected(payments, field):
    assert list_payments(payments, **field).reason == "INVALID_FIELDS"


def test_an_unknown_payment_is_not_found(payments):
    answer = get(payments)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    assert answer.facts == {"orderId": ORDER}


def test_orders_are_compared_without_case(payments):
    order = "ABCDEFAB-1111-4111-8111-111111111111"
    payment = process(payments, order_id=order).response
    assert get(payments, order.lower()).response == payment
    assert process(payments, order_id=order.lower()).response == payment


@pytest.mark.parametrize(
    "field",
    [
        {"order_id": "nothing"},
        {"user_id": ""},
        {"amount": "-1.00"},
        {"amount": "12.9"},
        {"amount": "123456789.00"},
        {"currency": "euro"},
        {"token": ""},
        {"token": "x" * 201},
    ],
)
def test_an_invalid_request_is_rejected(payments, ledger, field):
    answer = process(payments, **field)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert ledger.transactions == {}


@pytest.mark.parametrize("token", ["tok_ok", "tok_secret"])
def test_the_token_is_neither_stored_nor_logged(payments, repository, ledger, log, token):
    process(payments, token)
    assert "payment_processed" in [entry["event"] for entry in log]
    for text in (log, repository.find(ORDER), ledger.transactions):
        assert token not in repr(text)
