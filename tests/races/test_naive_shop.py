"""Every attack succeeds on a shop that reads before it writes: what fails elsewhere was tried."""

from collections.abc import Iterator

import pytest

from tests.races.attacks import ATTACKS, Attack
from tests.races.http2_server import serving
from tests.races.naive_shop import ADMIN, NaiveShop
from tests.races.target import Target

pytestmark = pytest.mark.integration

ROUNDS = 3


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """Yield a naive shop."""
    with serving(NaiveShop().answer) as url:
        yield Target(url, ADMIN, ADMIN)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_naive_shop_loses(target: Target, attack: Attack):
    assert any(attack(target) for _ in range(ROUNDS))
