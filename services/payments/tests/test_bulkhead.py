"""Slow cards of one customer hold up neither the payments nor the refunds of all."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal

import grpc
import pytest
from mamie_rosa.payments.internal.v1 import payments_pb2
from typing_extensions import override

from services.common.clock import new_id
from services.common.rpc.testing import InMemoryServer
from services.payments.bulkhead import Bulkhead
from services.payments.domain import (
    Captured,
    Outcome,
    PaymentStatus,
    ProviderBusyError,
    Voided,
)
from services.payments.provider import PaymentProvider
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import (
    InMemoryPaymentsRepository,
    build_payment,
    build_processor,
    build_voided,
)
from tests.support.waiting import eventually

SERVICE = payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"]
LIMIT, PER_CUSTOMER = 6, 2
SLOW = "tok_slow"


class SlowProvider(PaymentProvider):
    """Captures a slow token only when `finish` is set."""

    def __init__(self) -> None:
        self.finish = threading.Event()
        self.slow_calls = threading.Semaphore(0)

    @override
    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        if token == SLOW:
            self.slow_calls.release()
            self.finish.wait(10)
        return Captured(f"transaction of {key}")

    @override
    def void(self, key: str) -> Outcome:
        return Voided()

    @override
    def refund(self, key: str, *, refund_key: str) -> None:
        pass


@pytest.fixture
def provider():
    provider = SlowProvider()
    yield provider
    provider.finish.set()


@pytest.fixture
def repository():
    return InMemoryPaymentsRepository()


@pytest.fixture
def processor(repository, provider):
    return build_processor(repository, provider, limit=LIMIT, limit_per_customer=PER_CUSTOMER)


@pytest.fixture
def threads(provider):
    with ThreadPoolExecutor(50) as threads:
        yield threads
        provider.finish.set()


def process(processor, user_id, card="tok_ok"):
    payment = build_payment(order_id=new_id(), payment_id=new_id(), user_id=user_id)
    return processor.process(payment, token=card)


def occupy(processor, provider, threads, *user_ids):
    """Let each of these customers use all their places for slow cards."""
    for user_id in user_ids:
        for _ in range(PER_CUSTOMER):
            threads.submit(process, processor, user_id, SLOW)
            assert provider.slow_calls.acquire(timeout=5)


def test_the_slow_cards_of_one_customer_do_not_hold_up_another(processor, provider, threads):
    calls = [threads.submit(process, processor, "alice", SLOW) for _ in range(40)]
    for _ in range(PER_CUSTOMER):
        assert provider.slow_calls.acquire(timeout=5)
    started = time.monotonic()
    assert process(processor, "bob").status is PaymentStatus.CAPTURED
    assert time.monotonic() - started < 1
    eventually(lambda: sum(call.done() for call in calls) == len(calls) - PER_CUSTOMER)
    provider.finish.set()
    outcomes = [call.exception() for call in calls]
    assert outcomes.count(None) == PER_CUSTOMER
    assert {type(each) for each in outcomes if each} == {ProviderBusyError}


def test_a_rejected_payment_stays_pending_and_its_repeat_is_captured(
    processor, provider, repository, threads
):
    occupy(processor, provider, threads, "alice")
    payment = build_payment(order_id=new_id(), user_id="alice")
    with pytest.raises(ProviderBusyError):
        processor.process(payment, token="tok_ok")
    assert repository.find(payment.order_id).status is PaymentStatus.PENDING
    provider.finish.set()
    threads.shutdown()
    assert processor.process(payment, token="tok_ok").status is PaymentStatus.CAPTURED


def test_refunds_have_a_bulkhead_of_their_own(processor, provider, threads):
    paid = process(processor, "alice")
    occupy(processor, provider, threads, "alice", "bob", "carol")
    refunded = processor.refund(build_voided(order_id=paid.order_id))
    assert refunded.status is PaymentStatus.REFUNDED


def test_a_busy_provider_is_resource_exhausted(repository, processor, provider, threads):
    occupy(processor, provider, threads, "alice")
    payments = InMemoryServer(SERVICE, PaymentsServicer(repository=repository, processor=processor))
    request = payments_pb2.ProcessPaymentRequest(
        order_id=new_id(), user_id="alice", amount="1.00", currency="EUR", payment_token="tok_ok"
    )
    answer = payments.call("ProcessPayment", request)
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "PROVIDER_BUSY",
    )


def test_all_customers_together_have_a_limit_and_places_become_free():
    bulkhead = Bulkhead(limit=2, limit_per_customer=1)
    with ExitStack() as places:
        places.enter_context(bulkhead.admit("alice"))
        places.enter_context(bulkhead.admit("bob"))
        with pytest.raises(ProviderBusyError), bulkhead.admit("carol"):
            pass
    with bulkhead.admit("carol"), bulkhead.admit("alice"):
        pass


def test_a_failing_call_frees_its_place():
    bulkhead = Bulkhead(limit=1, limit_per_customer=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), bulkhead.admit("alice"):
            raise ZeroDivisionError
