"""Slow payments do not delay other orders, and no instance takes more than it can drive."""

import threading

import pytest

from services.orders.errors import OverloadedError
from services.orders.saga import (
    BUSY_DELAY,
    MAX_CONCURRENT_SAGAS,
    MAX_DRIVEN,
    MAX_DRIVEN_PER_LANE,
    MAX_PAYMENTS_PER_CUSTOMER,
)
from services.orders.states import OrderStatus
from services.orders.tests.fakes import build_placed
from services.orders.tests.test_saga import World
from tests.support.waiting import eventually


@pytest.fixture
def world():
    return World()


class SlowCards:
    """Payments that take as long as `taken` is not set, for all customers but one."""

    def __init__(self, world: World, fast: str) -> None:
        self.taken = threading.Event()
        self.waiting: list[str] = []
        self._capture, self._fast = world.payments.capture, fast
        world.payments.capture = self  # type: ignore[method-assign]

    def __call__(self, order_id, user_id, *details):
        if user_id != self._fast:
            self.waiting.append(user_id)
            self.taken.wait(10)
        return self._capture(order_id, user_id, *details)


@pytest.fixture
def orchestrator(world):
    orchestrator = world.orchestrator()
    yield orchestrator
    for executor in (orchestrator._executor, orchestrator._payments_executor):
        executor.shutdown()


def submit(world, orchestrator, order_id, user_id):
    placed = build_placed(user_id=user_id)
    orchestrator.submit(world.orders.place(order_id, placed, payment_token="t"))


def test_slow_cards_of_one_customer_do_not_delay_the_order_of_another(world, orchestrator):
    cards = SlowCards(world, fast="bob")
    for number in range(100):
        submit(world, orchestrator, f"alice-{number}", "alice")
    submit(world, orchestrator, "bob", "bob")
    eventually(lambda: world.orders.load("bob").status is OrderStatus.CONFIRMED, seconds=2)
    assert cards.waiting == ["alice"] * MAX_PAYMENTS_PER_CUSTOMER
    eventually(lambda: len(orchestrator._driving) == MAX_PAYMENTS_PER_CUSTOMER)
    cards.taken.set()


def test_an_order_beyond_the_limit_of_its_customer_is_due_later_for_any_instance(
    world, orchestrator
):
    cards = SlowCards(world, fast="")
    for number in range(MAX_PAYMENTS_PER_CUSTOMER + 1):
        submit(world, orchestrator, f"alice-{number}", "alice")
    eventually(lambda: len(orchestrator._driving) == MAX_PAYMENTS_PER_CUSTOMER)
    world.clock.now += BUSY_DELAY
    orchestrator._extend_leases()
    assert world.claim_due() is not None
    assert world.claim_due() is None
    cards.taken.set()


def test_an_instance_with_all_the_orders_that_it_can_drive_rejects_further_ones(
    world, orchestrator
):
    cards = SlowCards(world, fast="")
    for number in range(MAX_DRIVEN):
        orchestrator.require_capacity()
        submit(world, orchestrator, f"o-{number}", f"customer-{number}")
    with pytest.raises(OverloadedError) as caught:
        orchestrator.require_capacity()
    assert caught.value.metadata == {"retryAfterSeconds": "2"}
    submit(world, orchestrator, "one more", "alice")
    assert "one more" not in orchestrator._driving
    cards.taken.set()


class SlowPromotions:
    """Promotions that answer when `turns` is released, and record whose turn it was."""

    def __init__(self, world: World) -> None:
        self.turns = threading.Semaphore(0)
        self.customers: list[str] = []
        self._redeem = world.promotions.redeem
        world.promotions.redeem = self  # type: ignore[method-assign]

    def __call__(self, order_id, promo_code, user_id):
        self.customers.append(user_id)
        assert self.turns.acquire(timeout=10)
        self._redeem(order_id, promo_code, user_id)


@pytest.fixture
def promotions(world):
    promotions = SlowPromotions(world)
    yield promotions
    promotions.turns.release(2 * MAX_DRIVEN)


def test_many_orders_of_one_customer_wait_while_another_has_its_turn(
    world, orchestrator, promotions
):
    for number in range(MAX_DRIVEN_PER_LANE):
        submit(world, orchestrator, f"alice-{number}", "alice")
    submit(world, orchestrator, "bob", "bob")
    eventually(lambda: len(promotions.customers) == MAX_CONCURRENT_SAGAS)
    promotions.turns.release(2)
    eventually(lambda: "bob" in promotions.customers)
    assert len(promotions.customers) <= MAX_CONCURRENT_SAGAS + 2


def test_one_customer_leaves_room_for_orders_of_every_other_one(world, orchestrator, promotions):
    for number in range(MAX_DRIVEN):
        submit(world, orchestrator, f"alice-{number}", "alice")
    assert len(orchestrator._driving) == MAX_DRIVEN_PER_LANE
    orchestrator.require_capacity()
    submit(world, orchestrator, "bob", "bob")
    assert "bob" in orchestrator._driving


def test_orders_that_are_taken_over_leave_room_for_new_ones(world, orchestrator, promotions):
    for number in range(MAX_DRIVEN):
        placed = build_placed(user_id=f"customer-{number}")
        world.orders.place(f"o-{number}", placed, payment_token="t")
    world.clock.now += BUSY_DELAY
    for _ in range(4):
        orchestrator._take_over()
    assert len(orchestrator._driving) == MAX_DRIVEN_PER_LANE
    orchestrator.require_capacity()


def test_a_payment_of_an_order_that_was_taken_over_keeps_no_other_from_being_taken_over(
    world, orchestrator
):
    cards = SlowCards(world, fast="")
    for number in range(2 * MAX_DRIVEN_PER_LANE):
        placed = build_placed(user_id=f"customer-{number}")
        world.orders.place(f"o-{number}", placed, payment_token="t")
    world.clock.now += BUSY_DELAY

    def all_at_payments():
        orchestrator._take_over()
        return len(cards.waiting) == 2 * MAX_DRIVEN_PER_LANE

    eventually(all_at_payments)
    cards.taken.set()
