"""Money is taken once and never kept for a closed order, whatever dies or comes between.

The invariants are checked against the ledger of the sandbox, as a bookkeeper would: what
we say of a payment must be what the provider has.
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
from services.payments import provider
from services.payments.domain import Payment, PaymentClosedError, PaymentStatus
from services.payments.processor import PaymentProcessor
from services.payments.provider import PostgresLedger, SandboxProvider, TransactionState
from services.payments.repository import PostgresPaymentsRepository
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import (
    FakeClock,
    Fuse,
    InMemoryLedger,
    InMemoryPaymentsRepository,
    KilledError,
    Step,
    SteppedProvider,
    SteppedRepository,
    build_payment,
    build_voided,
    die,
)

SERVICE = payments_pb2.DESCRIPTOR.services_by_name["PaymentsService"]
GOOD = "tok_ok"
PROCESS_STEPS = range(6)
REFUND_STEPS = range(8)

HAS_NONE: Mapping[PaymentStatus, Sequence[str | None]] = {
    PaymentStatus.REFUNDED: [TransactionState.REFUNDED],
    PaymentStatus.VOIDED: [None, TransactionState.VOIDED, TransactionState.DECLINED],
    PaymentStatus.DECLINED: [TransactionState.DECLINED],
}


class World:
    """One database, one provider, and any number of payments instances."""

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

    def processor(self, step: Step = lambda: None, sleep=None) -> PaymentProcessor:
        return PaymentProcessor(
            repository=SteppedRepository(self.repository, step),
            provider=SteppedProvider(self.sandbox(sleep), step),
        )

    def state(self, order_id: str) -> str | None:
        return self.states().get(self.repository.find(order_id).payment_id)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def world(request):
    if request.param == "memory":
        ledger = InMemoryLedger()
        states = lambda: {key: t.state for key, t in ledger.transactions.items()}  # noqa: E731
        return World(InMemoryPaymentsRepository(), ledger, states)
    return postgres_world(request.getfixturevalue("engine"))


def postgres_world(engine):
    def states():
        columns = (provider.transactions.c.key, provider.transactions.c.state)
        with engine.connect() as connection:
            return {row.key: row.state for row in connection.execute(sa.select(*columns))}

    return World(PostgresPaymentsRepository(engine), PostgresLedger(engine), states)


def new_payment() -> Payment:
    return build_payment(order_id=str(uuid.uuid4()), payment_id=str(uuid.uuid4()))


def process(processor: PaymentProcessor, payment: Payment, token=GOOD) -> Payment:
    """Process as a call does: with a payment id of its own."""
    wanted = build_payment(order_id=payment.order_id, payment_id=str(uuid.uuid4()))
    return processor.process(wanted, token=token)


def refund(processor: PaymentProcessor, payment: Payment) -> Payment:
    voided = build_voided(order_id=payment.order_id, payment_id=str(uuid.uuid4()))
    return processor.refund(voided)


@pytest.mark.parametrize("step", PROCESS_STEPS)
@pytest.mark.parametrize("token", ["tok_ok", "tok_slow"])
def test_a_payment_whose_process_died_is_taken_once_by_the_repeat(world, step, token):
    payment = new_payment()
    with pytest.raises(KilledError):
        process(world.processor(Fuse(step, die)), payment, token)
    captured = process(world.processor(), payment, token)
    assert captured.status is PaymentStatus.CAPTURED
    assert world.states() == {captured.payment_id: TransactionState.CAPTURED}
    assert process(world.processor(), payment, token) == captured


@pytest.mark.parametrize("step", PROCESS_STEPS)
def test_a_decline_whose_process_died_is_told_by_the_repeat(world, step):
    payment = new_payment()
    with pytest.raises(KilledError):
        process(world.processor(Fuse(step, die)), payment, "tok_declined")
    declined = process(world.processor(), payment, "tok_declined")
    assert declined.status is PaymentStatus.DECLINED
    assert world.states() == {declined.payment_id: TransactionState.DECLINED}


@pytest.mark.parametrize(
    ("died_at", "status", "state"),
    [
        (0, PaymentStatus.VOIDED, None),
        (1, PaymentStatus.VOIDED, TransactionState.VOIDED),
        (2, PaymentStatus.VOIDED, TransactionState.VOIDED),
        (3, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
        (4, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
        (5, PaymentStatus.REFUNDED, TransactionState.REFUNDED),
    ],
)
def test_a_refund_finds_out_what_a_dead_process_left(world, died_at, status, state):
    payment = new_payment()
    with pytest.raises(KilledError):
        process(world.processor(Fuse(died_at, die)), payment)
    closed = refund(world.processor(), payment)
    assert (closed.status, world.state(payment.order_id)) == (status, state)
    assert closed.refunded_amount == (payment.amount if state == "REFUNDED" else 0)


def test_no_two_deaths_leave_money_with_a_closed_order(world):
    for first in [*PROCESS_STEPS, None]:
        for second in REFUND_STEPS:
            payment = new_payment()
            with suppress(KilledError):
                process(world.processor(Fuse(-2 if first is None else first, die)), payment)
            with suppress(KilledError):
                refund(world.processor(Fuse(second, die)), payment)
            closed = refund(world.processor(), payment)
            assert world.state(payment.order_id) in HAS_NONE[closed.status], (first, second)
            with pytest.raises(PaymentClosedError):
                process(world.processor(), payment)
            assert refund(world.processor(), payment) == closed


def test_no_two_deaths_leave_money_with_a_closed_order_that_is_asked_for_again(world):
    """The repeat of the dead capture arrives before that of the dead refund."""
    for first in PROCESS_STEPS:
        for second in REFUND_STEPS:
            payment = new_payment()
            with suppress(KilledError):
                process(world.processor(Fuse(first, die)), payment)
            with suppress(KilledError):
                refund(world.processor(Fuse(second, die)), payment)
            with suppress(PaymentClosedError):
                process(world.processor(), payment)
            closed = refund(world.processor(), payment)
            assert world.state(payment.order_id) in HAS_NONE[closed.status], (first, second)


@pytest.mark.parametrize("token", ["tok_ok", "tok_declined"])
@pytest.mark.parametrize("step", PROCESS_STEPS)
def test_a_refund_between_any_two_steps_of_a_capture_keeps_no_money(world, step, token):
    payment = new_payment()
    meanwhile = Fuse(step, lambda: refund(world.processor(), payment))
    with suppress(PaymentClosedError):
        process(world.processor(meanwhile), payment, token)
    closed = refund(world.processor(), payment)
    assert world.state(payment.order_id) in HAS_NONE[closed.status]


@pytest.mark.parametrize("step", REFUND_STEPS)
def test_a_capture_between_any_two_steps_of_a_refund_keeps_no_money(world, step):
    def capture():
        with suppress(PaymentClosedError):
            process(world.processor(), payment)

    payment = new_payment()
    with suppress(KilledError):
        process(world.processor(Fuse(2, die)), payment)
    closed = refund(world.processor(Fuse(step, capture)), payment)
    assert closed.is_closed
    assert world.state(payment.order_id) in HAS_NONE[closed.status]


def test_a_capture_that_arrives_while_a_dead_refund_is_closing_is_refunded(world):
    def refund_and_die():
        with suppress(KilledError):
            refund(world.processor(Fuse(1, die)), payment)

    payment = new_payment()
    after_the_capture = Fuse(3, refund_and_die)
    with pytest.raises(PaymentClosedError):
        process(world.processor(after_the_capture), payment)
    closed = world.repository.find(payment.order_id)
    assert (closed.status, closed.refunded_amount) == (PaymentStatus.REFUNDED, payment.amount)
    assert world.state(payment.order_id) == TransactionState.REFUNDED


def test_a_slow_capture_that_is_refunded_meanwhile_takes_no_money(world):
    def refund_meanwhile(seconds):
        assert refund(world.processor(), payment).status is PaymentStatus.VOIDED
        world.clock.sleep(seconds)

    payment = new_payment()
    with pytest.raises(PaymentClosedError):
        process(world.processor(sleep=refund_meanwhile), payment, "tok_slow")
    assert world.state(payment.order_id) == TransactionState.VOIDED


@pytest.mark.integration
class TestUnderConcurrency:
    @pytest.fixture
    def world(self, engine):
        return postgres_world(engine)

    @pytest.mark.parametrize("token", ["tok_ok", "tok_slow", "tok_declined"])
    def test_twenty_calls_at_once_are_one_payment_and_one_answer(self, world, token):
        sandbox = SandboxProvider(ledger=world.ledger, slow_seconds=0.2, timeout_seconds=10)
        servicer = PaymentsServicer(repository=world.repository, provider=sandbox)
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
        assert answers[0].payment_id in world.states()
        assert len(world.states()) == 1

    def test_captures_and_refunds_at_once_never_leave_money_with_a_closed_order(self, world):
        chance = random.Random(20261124)
        jitter = lambda: time.sleep(chance.random() * 0.004)  # noqa: E731

        def ask(call: Callable[[PaymentProcessor], Payment]) -> None:
            with suppress(PaymentClosedError):
                call(world.processor(jitter))

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
            closed = world.repository.find(payment.order_id)
            assert world.state(payment.order_id) in HAS_NONE[closed.status]


def batches(items: Sequence, size: int) -> list[Sequence]:
    return [items[start : start + size] for start in range(0, len(items), size)]
