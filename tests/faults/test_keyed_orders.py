"""What customers who repeat an order with its key are answered, whatever is killed meanwhile.

With --long there are 200 of them, and each sends 20 at once. test_freezes.py does the same with
everything that can be frozen.
"""

from functools import partial

import pytest

from tests.faults.checkers import (
    check,
    invariants_hold,
    one_answer_per_key,
    orders_are,
)
from tests.faults.faults import await_ready, killing
from tests.faults.keyed_orders import keyed_orders, placing
from tests.support.verification import judge_selected

pytestmark = pytest.mark.faults

CUSTOMERS, AT_ONCE = 20, 2
LONG_CUSTOMERS, LONG_AT_ONCE = 200, 20
DATA_PATH = ("orders-1", "mongodb", "catalog-1", "redis", "promotions-1", "orders-2", "postgres")
SECONDS_BETWEEN = 2


@pytest.fixture
def size(pytestconfig):
    """Return the number of customers, and how many times each sends an order at once."""
    if pytestconfig.getoption("--long"):
        return LONG_CUSTOMERS, LONG_AT_ONCE
    return CUSTOMERS, AT_ONCE


@pytest.mark.timeout(900)
def test_no_key_has_contradictory_answers_while_each_part_of_placing_is_killed(
    shop, stack, size, say, tmp_path
):
    customers, at_once = size
    keyed = keyed_orders(shop, customers=customers)
    rounds = ((part,) for part in DATA_PATH)
    seconds = SECONDS_BETWEEN * (len(DATA_PATH) + 1)
    with (
        placing(keyed, over_seconds=seconds, at_once=at_once),
        killing(stack, rounds, every_seconds=SECONDS_BETWEEN) as killed,
    ):
        check(lambda: [f"{len(killed)} kills"] * (len(killed) < len(DATA_PATH)), seconds=60)
    await_ready(stack, *DATA_PATH)
    placed = keyed.acknowledged
    say(f"{sum(len(each.answers) for each in keyed.orders)} answers to {customers} keys")
    check(one_answer_per_key(keyed.orders))
    check(orders_are("CONFIRMED", placed), seconds=30)
    answers = keyed.write_answers(tmp_path / "answers")
    check(invariants_hold(partial(judge_selected, stack, keyed.made, answers)), seconds=30)
    assert shop.uses_of(keyed.code) == len(placed) == customers
