"""The saga: forward, backward, interrupted."""

from decimal import Decimal

import pytest

from services.orders import domain
from services.orders.domain import OrderStatus, PaymentStatus, Step
from services.orders.saga import LEASE, PAUSE, Saga, Steps
from services.orders.tests.fakes import (
    FakeCatalog,
    FakeClock,
    FakePayments,
    FakePromotions,
    InMemoryOrdersRepository,
    build_placed,
)


class World:
    """One shop, and any number of orders instances."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.catalog, self.promotions, self.payments = (
            FakeCatalog(),
            FakePromotions(),
            FakePayments(),
        )
        self.repository = InMemoryOrdersRepository(self.clock)

    def saga(self, instance: str = "orders-1") -> Saga:
        steps = Steps(
            catalog=self.catalog,
            promotions=self.promotions,
            payments=self.payments,
            sagas=self.repository,
        )
        return Saga(
            orders=self.repository,
            sagas=self.repository,
            steps=steps,
            instance=instance,
            clock=self.clock,
        )

    def place(self, **changes) -> str:
        due_at = self.clock() + LEASE
        self.repository.place("o", build_placed(**changes), payment_token="tok_ok", due_at=due_at)
        return "o"

    def due(self) -> str | None:
        return self.repository.claim_due(now=self.clock(), due_at=self.clock() + LEASE)

    def types(self) -> list[str]:
        return [type(recorded.event).__name__ for recorded in self.repository.history("o")]


@pytest.fixture
def world():
    return World()


def change_of_mind(order):
    return domain.cancel(order, "changed my mind")


FORWARD = ["OrderPlaced", "PromoRedeemed", "PaymentStarted", "PaymentCaptured", "OrderConfirmed"]
BACKWARD = ["OrderCancelled", "PaymentSettled", "PromoReleased", "StockReleased"]


def test_an_order_goes_forward_to_confirmed(world):
    world.saga().drive(world.place())
    assert world.types() == FORWARD
    assert world.repository.load("o").status is OrderStatus.CONFIRMED


def test_every_step_is_recorded_before_it_is_done(world):
    world.saga().drive(world.place())
    assert world.repository.begun == [
        Step.REDEEM_PROMO,
        Step.START_PAYMENT,
        Step.TAKE_PAYMENT,
        Step.SELL_STOCK,
    ]


def test_an_order_at_rest_is_due_no_more_and_forgets_its_token(world):
    world.saga().drive(world.place())
    world.clock.move(days=1)
    assert world.due() is None
    assert world.repository.payment_token("o") == ""


def test_a_declined_payment_cancels_the_order_and_gives_everything_back(world):
    world.payments.declines = "CARD_DECLINED"
    world.saga().drive(world.place())
    assert world.types() == [*FORWARD[:3], "PaymentDeclined", *BACKWARD]
    assert world.repository.load("o").payment_status is PaymentStatus.DECLINED
    assert "release" in world.catalog.calls
    assert "release" in world.promotions.calls


def test_a_code_that_was_used_up_meanwhile_cancels_the_order(world):
    world.promotions.refuses["redeem"] = "CODE_EXHAUSTED"
    world.saga().drive(world.place())
    assert world.types() == ["OrderPlaced", *BACKWARD]
    assert world.repository.load("o").cancel_reason == "CODE_EXHAUSTED"
    assert "capture" not in world.payments.calls


def test_stock_that_is_gone_after_the_payment_returns_the_money(world):
    world.catalog.refuses["commit"] = "OUT_OF_STOCK"
    world.payments.refund = Decimal("23.22")
    world.saga().drive(world.place())
    assert world.types() == [*FORWARD[:4], *BACKWARD]
    order = world.repository.load("o")
    assert (order.payment_status, order.refund) == (PaymentStatus.REFUNDED, Decimal("23.22"))


@pytest.mark.parametrize(
    ("service", "call", "got"),
    [("promotions", "redeem", 1), ("payments", "capture", 3), ("catalog", "commit", 4)],
)
def test_an_order_waits_for_a_service_that_is_away_and_goes_on_from_there(
    world, service, call, got
):
    getattr(world, service).away.add(call)
    world.saga().drive(world.place())
    assert world.types() == FORWARD[:got]
    assert world.due() is None
    world.clock.now += PAUSE
    getattr(world, service).away.clear()
    world.saga("orders-2").drive(world.due())
    assert world.types() == FORWARD


def test_an_order_that_nobody_can_pay_is_cancelled_when_its_hold_is_over(world):
    world.payments.away.add("capture")
    world.saga().drive(world.place())
    world.clock.move(minutes=15)
    world.saga().drive(world.due())
    assert world.types() == [*FORWARD[:3], *BACKWARD]
    assert world.repository.load("o").cancel_reason == "HOLD_EXPIRED"


@pytest.mark.parametrize("trouble", ["away", "refused"])
def test_giving_back_is_tried_until_it_is_done(world, trouble):
    world.payments.declines = "CARD_DECLINED"
    if trouble == "away":
        world.payments.away.add("settle")
    else:
        world.payments.refuses["settle"] = "NOT_NOW"
    world.saga().drive(world.place())
    assert world.types()[-1] == "OrderCancelled"
    world.payments.away.clear()
    world.payments.refuses.clear()
    world.clock.now += PAUSE
    world.saga().drive(world.due())
    assert world.types()[-3:] == BACKWARD[1:]


class DyingError(BaseException):
    """Stands for kill -9: nothing that handles errors may see it."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [Step.REDEEM_PROMO, Step.TAKE_PAYMENT, Step.SELL_STOCK])
def test_an_order_whose_driver_dies_at_any_step_is_finished_by_another(world, step, when):
    saga = world.saga()
    real = saga._steps.take

    def die(taken, order):
        if taken is step:
            if when == "after":
                real(taken, order)
            raise DyingError
        return real(taken, order)

    saga._steps.take = die
    with pytest.raises(DyingError):
        saga.drive(world.place())
    assert world.due() is None
    world.clock.now += LEASE
    world.saga("orders-2").drive(world.due())
    assert world.types() == FORWARD


def test_cancelling_a_confirmed_order_answers_the_refund(world):
    saga = world.saga()
    saga.drive(world.place())
    world.payments.refund = Decimal("23.22")
    cancelled = saga.apply("o", change_of_mind)
    assert (cancelled.status, cancelled.refund) == (OrderStatus.CANCELLED, Decimal("23.22"))
    assert world.types() == [*FORWARD, *BACKWARD]


def test_a_driver_gives_way_to_somebody_who_cancelled_meanwhile(world):
    saga = world.saga()

    def cancel_meanwhile(*_args):
        world.saga("orders-2").apply("o", change_of_mind)

    world.promotions.redeem = cancel_meanwhile
    saga.drive(world.place())
    assert world.types() == ["OrderPlaced", *BACKWARD]


def test_deciding_nothing_changes_nothing(world):
    world.place()
    assert world.saga().apply("o", lambda _order: []) == world.repository.load("o")


def test_a_decision_about_an_order_that_moved_on_is_made_again(world):
    world.place()
    seen = []

    def decide(order):
        seen.append(order.status)
        if len(seen) == 1:
            world.saga("orders-2").drive("o")
        return change_of_mind(order)

    cancelled = world.saga().apply("o", decide)
    assert seen == [OrderStatus.PENDING, OrderStatus.CONFIRMED]
    assert cancelled.status is OrderStatus.CANCELLED


def test_an_order_that_never_stands_still_is_a_conflict(world):
    order_id = world.place()

    def decide(order):
        world.repository.append(order, [domain.PromoRedeemed()], due_at=world.clock())
        return change_of_mind(order)

    with pytest.raises(domain.OrderChangedError):
        world.saga().apply(order_id, decide)
