"""Money is captured once and never kept for a closed order, whatever crashes or interleaves.

The invariants are checked against the sandbox's ledger: the status of a payment must match
the state of its transaction.
"""

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import sqlalchemy as sa
from mamie_rosa.payments.internal.v1 import payments_pb2

from services.common.rpc.testing import InMemoryServer
from services.payments import sandbox_ledger
from services.payments.domain import Payment, PaymentClosedError, PaymentStatus
from services.payments.processor import PaymentProcessor
from services.payments.repository import PostgresPaymentsRepository
from services.payments.sandbox import SandboxProvider
from services.payments.sandbox_ledger import PostgresLedger, TransactionState
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import (
    AtStep,
    CrashError,
    FakeClock,
    Hook,
    InMemoryLedger,
    InMemoryPaymentsRepository,
    InterruptedProvider,
    InterruptedRepository,
    build_payment,
    build_processor,
    build_voided,
    crash,
)

SERVICE = payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"]
GOOD = "tok_ok"
PROCESS_STEPS = range(6)
REFUND_STEPS = range(8)

SAFE_STATES: Mapping[PaymentStatus, Sequence[str | None]] = {
    PaymentStatus.REFUNDED: [TransactionState.REFUNDED],
    PaymentStatus.VOIDED: [None, TransactionState.VOIDED, TransactionState.DECLINED],
    PaymentStatus.DECLINED: [TransactionState.DECLINED],
}
"""The states of the transaction of a closed payment in which the sandbox has no money."""


class PaymentsSystem:
    """One database, one provider and any number of payments instances."""

    def __init__(self, repository, ledger, states: Callable[[], Mapping[str, str]]) -> None:
        self.repository = repository
        self.ledger = ledger
        self.states = states
        self.clock = FakeClock()

    def sandbox(self, sleep: Callable[[float], None] | None = None) -> SandboxProvider:
        return SandboxProvider(
            ledger=self.ledger,
            slow_seconds=3,
            timeout_seconds=10,
            clock=self.clock,
            sleep=sleep or self.clock.sleep,
        )

    def processor(self, hook: Hook = lambda: None, sleep=None) -> PaymentProcessor:
        return build_processor(
            InterruptedRepository(self.repository, hook),
            InterruptedProvider(self.sandbox(sleep), hook),
        )

    def state(self, order_id: str) -> str | None:
        return self.states().get(self.repository.find(order_id).payment_id)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def system(request):
    if request.param == "memory":
        ledger = InMemoryLedger()
        states = lambda: {key: t.state for key, t in ledger.transactions.items()}  # noqa: E731
        return PaymentsSystem(InMemoryPaymentsRepository(), ledger, states)
    return postgres_system(request.getfixturevalue("engine"))


def postgres_system(engine):
    def states():
        columns = (sandbox_ledger.transactions.c.key, sandbox_ledger.transactions.c.state)
        with engine.connect() as connection:
            return {row.key: row.state for row in connection.execute(sa.select(*columns))}

    return PaymentsSystem(PostgresPaymentsRepository(engine), PostgresLedger(engine), states)


def new_payment() -> Payment:
    return build_payment(order_id=str(uuid.uuid4()), payment_id=str(uuid.uuid4()))


def process(processor: PaymentProcessor, payment: Payment, token=GOOD) -> Payment:
    """Process a payment as a call does: with a new payment id."""
    requested = build_payment(order_id=payment.order_id, payment_id=str(uuid.uuid4()))
    return processor.process(requested, token=token)


def refund(processor: PaymentProcessor, payment: Payment) -> Payment:
    voided = build_voided(order_id=payment.order_id, payment_id=str(uuid.uuid4()))
    return processor.refund(voided)


@pytest.mark.parametrize("step", PROCESS_STEPS)
@pytest.mark.parametrize("token", ["tok_ok", "tok_slow"])
def test_a_repeat_after_a_crash_captures_once(system, step, token):
    payment = new_payment()
    with pytest.raises(CrashError):
        process(system.processor(AtStep(step, crash)), payment, token)
    captured = process(system.processor(), payment, token)
    assert captured.status is PaymentStatus.CAPTURED
    assert system.states() == {captured.payment_id: TransactionState.CAPTURED}
    assert process(system.processor(), payment, token) == captured


@pytest.mark.parametrize("step", PROCESS_STEPS)
def test_a_repeat_after_a_crash_answers_the_same_decline(system, step):
    payment = new_payment()
    with pytest.raises(CrashError):
        process(system.processor(AtStep(step, crash)), payment, "tok_declined")
    declined = process(system.processor(), payment, "tok_declined")
    assert declined.status is PaymentStatus.DECLINED
    assert system.states() == {declined.payment_id: TransactionState.DECLINED}


@pytest.mark.parametrize(
    ("crash_at", "status", "state"),
    [
        (0, PaymentStatus.VOIDED, None),
        (1, PaymentStatus.VOIDED, TransactionState.VOIDED),
        (2, PaymentStatus.VOIDED, TransactionState.VOIDED),
        (3, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
        (4, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
        (5, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
    ],
)
def test_a_refund_after_a_crash_refunds_or_voids_what_was_left(system, crash_at, status, state):
    payment = new_payment()
    with pytest.raises(CrashError):
        process(system.processor(AtStep(crash_at, crash)), payment)
    closed = refund(system.processor(), payment)
    assert (closed.status, system.state(payment.order_id)) == (status, state)
    assert closed.refunded_amount == (payment.amount if state == "REFUNDED" else 0)


def test_no_two_crashes_leave_money_with_a_closed_order(system):
    for first in [*PROCESS_STEPS, None]:
        for second in REFUND_STEPS:
            payment = new_payment()
            with suppress(CrashError):
                process(system.processor(AtStep(-2 if first is None else first, crash)), payment)
            with suppress(CrashError):
                refund(system.processor(AtStep(second, crash)), payment)
            closed = refund(system.processor(), payment)
            assert system.state(payment.order_id) in SAFE_STATES[closed.status], (
                first,
                second,
            )
            with pytest.raises(PaymentClosedError):
                process(system.processor(), payment)
            assert refund(system.processor(), payment) == closed


def test_no_two_crashes_leave_money_when_the_capture_is_repeated(system):
    """The repeat of the crashed capture arrives before that of the crashed refund."""
    for first in PROCESS_STEPS:
        for second in REFUND_STEPS:
            payment = new_payment()
            with suppress(CrashError):
                process(system.processor(AtStep(first, crash)), payment)
            with suppress(CrashError):
                refund(system.processor(AtStep(second, crash)), payment)
            with suppress(PaymentClosedError):
                process(system.processor(), payment)
            closed = refund(system.processor(), payment)
            assert system.state(payment.order_id) in SAFE_STATES[closed.status], (
                first,
                second,
            )


@pytest.mark.parametrize("token", ["tok_ok", "tok_declined"])
@pytest.mark.parametrize("step", PROCESS_STEPS)
def test_a_refund_between_any_two_steps_of_a_capture_keeps_no_money(system, step, token):
    payment = new_payment()
    meanwhile = AtStep(step, lambda: refund(system.processor(), payment))
    with suppress(PaymentClosedError):
        process(system.processor(meanwhile), payment, token)
    closed = refund(system.processor(), payment)
    assert system.state(payment.order_id) in SAFE_STATES[closed.status]


@pytest.mark.parametrize("step", REFUND_STEPS)
def test_a_capture_between_any_two_steps_of_a_refund_keeps_no_money(system, step):
    def capture():
        with suppress(PaymentClosedError):
            process(system.processor(), payment)

    payment = new_payment()
    with suppress(CrashError):
        process(system.processor(AtStep(2, crash)), payment)
    closed = refund(system.processor(AtStep(step, capture)), payment)
    assert closed.is_closed
    assert system.state(payment.order_id) in SAFE_STATES[closed.status]


def test_a_capture_is_refunded_when_a_crashed_refund_left_the_payment_closing(system):
    def refund_and_crash():
        with suppress(CrashError):
            refund(system.processor(AtStep(1, crash)), payment)

    payment = new_payment()
    after_the_capture = AtStep(3, refund_and_crash)
    with pytest.raises(PaymentClosedError):
        process(system.processor(after_the_capture), payment)
    closed = system.repository.find(payment.order_id)
    assert (closed.status, closed.refunded_amount) == (PaymentStatus.REFUNDED, payment.amount)
    assert system.state(payment.order_id) == TransactionState.REFUNDED


def test_a_slow_capture_that_is_refunded_meanwhile_is_voided(system):
    def refund_meanwhile(seconds):
        assert refund(system.processor(), payment).status is PaymentStatus.VOIDED
        system.clock.sleep(seconds)

    payment = new_payment()
    with pytest.raises(PaymentClosedError):
        process(system.processor(sleep=refund_meanwhile), payment, "tok_slow")
    assert system.state(payment.order_id) == TransactionState.VOIDED


@pytest.mark.integration
class TestUnderConcurrency:
    @pytest.fixture
    def system(self, engine):
        return postgres_system(engine)

    @pytest.mark.parametrize("token", ["tok_ok", "tok_slow", "tok_declined"])
    def test_twenty_concurrent_calls_get_one_payment_and_one_answer(self, system, token):
        sandbox = SandboxProvider(ledger=system.ledger, slow_seconds=0.2, timeout_seconds=10)
        processor = build_processor(system.repository, sandbox)
        servicer = PaymentsServicer(repository=system.repository, processor=processor)
        request = payments_pb2.ProcessPaymentRequest(
            order_id=new_payment().order_id,
            user_id="alice",
            amount="12.90",
            currency="EUR",
            payment_token=token,
        )

        def ask(_):
            return InMemoryServer(SERVICE, servicer).call("ProcessPayment", request).response

        with ThreadPoolExecutor(20) as callers:
            answers = list(callers.map(ask, range(20)))
        assert all(answer == answers[0] for answer in answers)
        assert answers[0].payment_id in system.states()
        assert len(system.states()) == 1

    def test_concurrent_captures_and_refunds_leave_no_money_with_a_closed_order(self, system):
        chance = random.Random(20261124)
        jitter = lambda: time.sleep(chance.random() * 0.004)  # noqa: E731

        def ask(call: Callable[[PaymentProcessor], Payment]) -> None:
            with suppress(PaymentClosedError):
                call(system.processor(jitter))

        orders = [(new_payment(), chance.choice(["tok_ok", "tok_declined"])) for _ in range(40)]
        with ThreadPoolExecutor(12) as callers:
            for batch in batches(orders, 4):
                calls = [
                    partial(act, payment=payment, **more)
                    for payment, token in batch
                    for act, more in ((process, {"token": token}), (refund, {})) * 2
                ]
                chance.shuffle(calls)
                list(callers.map(ask, calls))
        for payment, _ in orders:
            closed = system.repository.find(payment.order_id)
            assert system.state(payment.order_id) in SAFE_STATES[closed.status]


def batches(items: Sequence, size: int) -> list[Sequence]:
    return [items[start : start + size] for start in range(0, len(items), size)]
