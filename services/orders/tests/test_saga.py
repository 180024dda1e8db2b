"""The saga: forward, compensation, failures, takeover."""

from decimal import Decimal

import pytest

from services.orders import domain
from services.orders.domain import Step
from services.orders.ports import LEASE_DURATION
from services.orders.saga import RETRY_DELAY, SagaOrchestrator
from services.orders.states import OrderStatus, PaymentStatus
from services.orders.steps import SagaSteps
from services.orders.tests.fakes import FakeClock, InMemoryOrdersRepository, build_placed
from services.orders.tests.upstreams import FakeCatalog, FakePayments, FakePromotions
from tests.support.metrics import adds
from tests.support.waiting import eventually


class World:
    """One store, its upstreams, and any number of instances of orders."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.catalog = FakeCatalog()
        self.promotions = FakePromotions()
        self.payments = FakePayments()
        self.orders = InMemoryOrdersRepository(self.clock)
        self.sagas = self.orders.sagas

    def orchestrator(self, instance: str = "orders-1") -> SagaOrchestrator:
        steps = SagaSteps(
            catalog=self.catalog,
            promotions=self.promotions,
            payments=self.payments,
            sagas=self.sagas,
        )
        return SagaOrchestrator(
            orders=self.orders,
            sagas=self.sagas,
            steps=steps,
            instance=instance,
            clock=self.clock,
        )

    def place(self, **changes) -> domain.Order:
        placed = build_placed(**changes)
        return self.orders.place("o", placed, payment_token="tok_ok")

    def claim_due(self) -> domain.Order | None:
        order_id = self.sagas.claim_due()
        return self.orders.load(order_id) if order_id else None

    def types(self) -> list[str]:
        return [type(recorded.event).__name__ for recorded in self.orders.history("o")]


@pytest.fixture
def world():
    return World()


FORWARD = ["OrderPlaced", "PromoRedeemed", "PaymentStarted", "PaymentCaptured", "OrderConfirmed"]
COMPENSATION = ["OrderCancelled", "PaymentSettled", "PromoReleased", "StockReleased"]


def test_an_order_is_driven_forward_to_confirmed(world):
    order = world.orchestrator().drive(world.place())
    assert order == world.orders.load("o")
    assert order.status is OrderStatus.CONFIRMED
    assert world.types() == FORWARD


def test_driving_an_order_loads_nothing(world):
    order = world.place()
    world.orders.loads.clear()
    world.orchestrator().drive(order)
    assert world.orders.loads == []


UPSTREAM_STEPS = [Step.REDEEM_PROMO, Step.CAPTURE_PAYMENT, Step.COMMIT_STOCK]


def test_every_step_is_recorded_once_and_before_it_calls_its_upstream(world):
    recorded = []
    for name, call in [
        ("promotions", "redeem"),
        ("payments", "capture"),
        ("catalog", "commit"),
    ]:
        upstream = getattr(world, name)
        real = getattr(upstream, call)

        def look_then_call(*args, real=real):
            recorded.append(world.sagas.steps[-1])
            return real(*args)

        setattr(upstream, call, look_then_call)
    world.orchestrator().drive(world.place())
    assert recorded == world.sagas.steps == UPSTREAM_STEPS


def test_a_payment_is_recorded_as_started_before_it_is_requested(world):
    types = []
    real = world.payments.capture

    def look_then_capture(*args):
        types.extend(world.types())
        return real(*args)

    world.payments.capture = look_then_capture
    world.orchestrator().drive(world.place())
    assert types == FORWARD[:3]


def test_a_step_that_calls_nothing_is_written_with_the_step_before(world):
    appended = []
    real = world.orders.append

    def look_then_append(order, events, **options):
        appended.append([type(event).__name__ for event in events])
        return real(order, events, **options)

    world.orders.append = look_then_append
    world.orchestrator().drive(world.place())
    assert appended == [
        ["PromoRedeemed", "PaymentStarted"],
        ["PaymentCaptured"],
        ["OrderConfirmed"],
    ]


def test_an_order_that_another_instance_took_over_records_the_step_again(world):
    world.payments.unavailable.add("capture")
    world.orchestrator().drive(world.place())
    world.clock.now += RETRY_DELAY
    world.payments.unavailable.clear()
    world.orchestrator("orders-2").drive(world.claim_due())
    assert world.sagas.steps == [*UPSTREAM_STEPS[:2], *UPSTREAM_STEPS[1:]]


def test_the_token_of_a_submitted_order_is_not_read_again(world):
    world.orchestrator().submit(world.place(), payment_token="tok_ok")
    eventually(lambda: world.types() == FORWARD)
    assert world.sagas.token_reads == 0


def test_a_complete_saga_has_no_lease_and_no_payment_token(world):
    world.orchestrator().drive(world.place())
    world.clock.move(days=1)
    assert world.claim_due() is None
    assert world.sagas.payment_token("o") == ""


def test_a_declined_payment_cancels_the_order_and_compensates(world):
    world.payments.decline_reason = "CARD_DECLINED"
    order = world.orchestrator().drive(world.place())
    assert world.types() == [*FORWARD[:3], "PaymentDeclined", *COMPENSATION]
    assert order.payment_status is PaymentStatus.DECLINED
    assert "release" in world.catalog.calls
    assert "release" in world.promotions.calls


def test_a_rejected_redemption_cancels_the_order(world):
    world.promotions.rejections["redeem"] = "CODE_EXHAUSTED"
    order = world.orchestrator().drive(world.place())
    assert world.types() == ["OrderPlaced", *COMPENSATION]
    assert order.cancel_reason == "CODE_EXHAUSTED"
    assert "capture" not in world.payments.calls


def test_a_rejected_stock_commit_refunds_the_payment(world):
    world.catalog.rejections["commit"] = "OUT_OF_STOCK"
    world.payments.refunded = Decimal("23.22")
    order = world.orchestrator().drive(world.place())
    assert world.types() == [*FORWARD[:4], *COMPENSATION]
    assert order.payment_status is PaymentStatus.REFUNDED
    assert order.refund_amount == Decimal("23.22")


@pytest.mark.parametrize(
    ("service", "call", "done"),
    [("promotions", "redeem", 1), ("payments", "capture", 3), ("catalog", "commit", 4)],
)
def test_an_order_waits_for_an_unavailable_upstream_and_resumes_at_that_step(
    world, service, call, done
):
    getattr(world, service).unavailable.add(call)
    order = world.orchestrator().drive(world.place())
    assert order.sequence == done
    assert world.types() == FORWARD[:done]
    assert world.claim_due() is None
    world.clock.now += RETRY_DELAY
    getattr(world, service).unavailable.clear()
    world.orchestrator("orders-2").drive(world.claim_due())
    assert world.types() == FORWARD


def test_an_order_that_cannot_be_paid_is_cancelled_when_its_reservation_expires(world):
    world.payments.unavailable.add("capture")
    world.orchestrator().drive(world.place())
    world.clock.move(minutes=15)
    order = world.orchestrator().drive(world.claim_due())
    assert world.types() == [*FORWARD[:3], *COMPENSATION]
    assert order.cancel_reason == "HOLD_EXPIRED"


@pytest.mark.parametrize("failure", ["unavailable", "rejected"])
@pytest.mark.parametrize(
    ("service", "call", "event"),
    [
        ("payments", "refund", "PaymentSettled"),
        ("promotions", "release", "PromoReleased"),
        ("catalog", "release", "StockReleased"),
    ],
)
def test_a_compensation_is_retried_until_it_succeeds_and_delays_no_other(
    world, failure, service, call, event
):
    world.payments.decline_reason = "CARD_DECLINED"
    upstream = getattr(world, service)
    if failure == "unavailable":
        upstream.unavailable.add(call)
    else:
        upstream.rejections[call] = "NOT_NOW"
    world.orchestrator().drive(world.place())
    assert set(COMPENSATION) - set(world.types()) == {event}
    upstream.unavailable.clear()
    upstream.rejections.clear()
    world.clock.now += LEASE_DURATION
    world.orchestrator().drive(world.claim_due())
    assert world.types()[-1] == event


class CrashError(BaseException):
    """Stands for kill -9: no error handler may catch it."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [Step.REDEEM_PROMO, Step.CAPTURE_PAYMENT, Step.COMMIT_STOCK])
def test_an_order_whose_instance_crashes_at_any_step_is_taken_over(world, step, when):
    orchestrator = world.orchestrator()
    real = orchestrator._steps.execute

    def crash(executed, order, *token):
        if executed is step:
            if when == "after":
                real(executed, order, *token)
            raise CrashError
        return real(executed, order, *token)

    orchestrator._steps.execute = crash
    with pytest.raises(CrashError):
        orchestrator.drive(world.place())
    assert world.claim_due() is None
    world.clock.now += LEASE_DURATION
    world.orchestrator("orders-2").drive(world.claim_due())
    assert world.types() == FORWARD


def test_an_instance_stops_driving_an_order_that_another_one_cancelled(world):
    def cancel_meanwhile(*_args):
        order = world.orders.load("o")
        events = domain.cancel(order, "changed my mind")
        cancelled = world.orders.append(order, events)
        world.orchestrator("orders-2").drive(cancelled)

    world.promotions.redeem = cancel_meanwhile
    order = world.orchestrator().drive(world.place())
    assert order.status is OrderStatus.PENDING
    assert world.types() == ["OrderPlaced", *COMPENSATION]


def test_a_submitted_order_is_driven_in_the_background(world):
    orchestrator = world.orchestrator()
    orchestrator.submit(world.place())
    eventually(lambda: world.types() == FORWARD)
    assert world.types() == FORWARD


def test_an_order_that_is_due_is_taken_over_in_the_background(world):
    world.place()
    world.clock.now += LEASE_DURATION
    orchestrator = world.orchestrator("orders-2")
    orchestrator._take_over()
    eventually(lambda: world.types() == FORWARD)
    assert world.types() == FORWARD


def test_steps_are_measured_and_those_that_wait_are_counted(world):
    world.payments.unavailable.add("capture")
    with (
        adds(1, "mamie_saga_step_seconds_count", step=Step.REDEEM_PROMO),
        adds(1, "mamie_saga_steps_postponed_total", step=Step.CAPTURE_PAYMENT),
    ):
        world.orchestrator().drive(world.place())
