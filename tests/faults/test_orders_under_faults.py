"""Placing orders at the worst moments; MAMIE_TEST_FULL_SIZE=1 is for the whole size.

In the whole size: 200 keys, each 20 times at once; a store of orders that is frozen for 40 s.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from tests.faults.checkers import (
    check,
    invariants_hold,
    one_answer_per_key,
    orders_are,
)
from tests.faults.faults import await_ready, frozen, killing
from tests.faults.keyed_orders import KeyedOrders, keyed_orders, placing
from tests.support.concurrency import call_at_once
from tests.support.verification import judge_selected

pytestmark = pytest.mark.faults

FULL = os.environ.get("MAMIE_TEST_FULL_SIZE") == "1"
KEYS, REPEATS, FROZEN_SECONDS = (200, 20, 40) if FULL else (10, 10, 6)
SLOW_CARDS = 200 if FULL else 60
LONGEST_ANSWER_SECONDS = 5.5
"""Five seconds, and what two busy processors add."""


@contextmanager
def nothing(_stack) -> Iterator[None]:
    """Let nothing go wrong."""
    yield


@contextmanager
def kills(stack) -> Iterator[None]:
    """Kill an instance of orders, promotions or the catalog every other second."""
    parts = ("orders-1", "catalog-1", "orders-2", "promotions-1", "orders-3")
    with killing(stack, ((part,) for part in cycle(parts))):
        yield
    await_ready(stack, *parts)


@contextmanager
def freezes(stack) -> Iterator[None]:
    """Freeze one instance of orders for longer than an attempt lasts, then the store for 3 s."""
    for part, seconds in (("orders-1", 7), ("mongodb", 3)):
        with frozen(stack, part):
            time.sleep(seconds)
    yield


def check_orders(shop, stack, keyed: KeyedOrders, tmp_path: Path) -> None:
    """Check that every key has one answer, and that every order is confirmed and paid once."""
    placed = keyed.acknowledged
    check(one_answer_per_key(keyed.orders))
    check(orders_are("CONFIRMED", placed), seconds=60)
    answers = keyed.write_answers(tmp_path / "answers")
    check(invariants_hold(partial(judge_selected, stack, keyed.made, answers)), seconds=30)
    assert shop.uses_of(keyed.code) == len(placed) == len(keyed.orders)


@pytest.mark.parametrize("fault", [nothing, kills, freezes])
def test_repeats_at_once_get_one_answer_when_exactly_enough_is_left(
    shop, stack, fault, say, tmp_path
):
    keyed = keyed_orders(shop, customers=KEYS)
    with placing(keyed, over_seconds=KEYS / 5, at_once=REPEATS), fault(stack):
        pass
    say(f"{sum(len(each.answers) for each in keyed.orders)} answers to {KEYS} keys")
    check_orders(shop, stack, keyed, tmp_path)


def test_every_order_is_answered_in_time_while_its_store_is_frozen(shop, stack, say, tmp_path):
    keyed = keyed_orders(shop, customers=10)
    with placing(keyed, over_seconds=FROZEN_SECONDS), frozen(stack, "mongodb"):
        time.sleep(FROZEN_SECONDS)
    slowest = max(seconds for order in keyed.orders for seconds in order.seconds)
    say(
        f"{sum(len(each.answers) for each in keyed.orders)} answers, the slowest in {slowest:.1f} s"
    )
    assert slowest < LONGEST_ANSWER_SECONDS
    check_orders(shop, stack, keyed, tmp_path)


def test_slow_cards_of_one_customer_do_not_delay_another(shop, customer, other_customer):
    product = shop.add_product(stock=10_000)
    answers = call_at_once(
        SLOW_CARDS, lambda: customer.order((product, 1), paymentToken="tok_slow")
    )
    assert {answer.status_code for answer in answers} <= {201, 429}
    order_id = other_customer.place((product, 1))
    other_customer.await_status(order_id, "CONFIRMED", seconds=2)
