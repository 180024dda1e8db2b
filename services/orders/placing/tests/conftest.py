"""A checkout whose stores and upstreams are in memory."""

import pytest

from services.orders.placing.checkout import Checkout
from services.orders.tests.fakes import FakeClock, InMemoryOrdersRepository, RecordingOrchestrator
from services.orders.tests.upstreams import FakeCatalog, FakePromotions


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def orders(clock):
    return InMemoryOrdersRepository(clock)


@pytest.fixture
def orchestrator():
    return RecordingOrchestrator()


@pytest.fixture
def catalog():
    return FakeCatalog()


@pytest.fixture
def promotions():
    return FakePromotions()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def checkout(orders, orchestrator, catalog, promotions, waits):
    return Checkout(
        orders=orders,
        attempts=orders.attempts,
        catalog=catalog,
        promotions=promotions,
        orchestrator=orchestrator,
        hold_seconds=900,
        sleep=waits.append,
    )
