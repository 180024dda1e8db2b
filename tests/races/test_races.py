"""The shop under attack from outside: whatever arrives at the same moment counts once."""

from functools import partial

import pytest

from tests.faults.checkers import check, invariants_hold
from tests.races.attacks import ATTACKS, Attack
from tests.races.target import Target
from tests.support.verification import judge_selected

pytestmark = pytest.mark.e2e

ROUNDS, LONG_ROUNDS = 3, 20


@pytest.fixture(scope="module")
def target(stack, shop) -> Target:
    """Return the shop as an attacker sees it."""
    return Target(stack.url("http"), *stack.admin_credentials())


@pytest.fixture(scope="module")
def rounds(request: pytest.FixtureRequest) -> int:
    """Return how often each attack is tried."""
    return LONG_ROUNDS if request.config.getoption("--long") else ROUNDS


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_shop_holds(target: Target, attack: Attack, rounds: int):
    assert [problem for _ in range(rounds) for problem in attack(target)] == []


def test_the_records_of_what_was_attacked_agree(stack, target: Target):
    assert judge_selected(stack, target.made).counts["orders"] > ROUNDS
    check(invariants_hold(partial(judge_selected, stack, target.made)), seconds=30)
