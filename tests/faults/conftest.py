"""Workloads and observers of a running stack."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.faults.workloads import Orders, steady_reads
from tests.support.notifications_store import NotificationsStore
from tests.support.recommendations_graph import RecommendationsGraph, open_graph
from tests.support.running_stack import RunningStack
from tests.support.shop import Shop
from tests.support.steady_load import SteadyLoad
from tests.support.stores import open_store


@pytest.fixture
def reads(shop: Shop) -> Iterator[SteadyLoad]:
    """Yield a steady load of reads."""
    with steady_reads(shop) as load:
        yield load


@pytest.fixture
def orders(shop: Shop) -> Orders:
    """Return orders of a new product."""
    return Orders(shop.add_product())


@pytest.fixture
def users_store(stack: RunningStack) -> Iterator[sa.Engine]:
    """Yield an engine on the store of the users."""
    with open_store(stack, "users") as engine:
        yield engine


@pytest.fixture
def notifications_engine(stack: RunningStack) -> Iterator[sa.Engine]:
    """Yield an engine on the store of the notifications."""
    with open_store(stack, "notifications") as engine:
        yield engine


@pytest.fixture
def notifications(notifications_engine: sa.Engine) -> NotificationsStore:
    """Return the effects of events on the notifications."""
    return NotificationsStore(notifications_engine)


@pytest.fixture
def graph(stack: RunningStack) -> Iterator[RecommendationsGraph]:
    """Yield the graph of the recommendations."""
    with open_graph(stack) as graph:
        yield graph
