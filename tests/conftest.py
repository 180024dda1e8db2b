"""The whole shop, for tests that cross services."""

from collections.abc import Iterator

import pytest

from tests.support.running_stack import RunningStack
from tests.support.shop import Customer, Shop


@pytest.fixture(scope="session")
def shop(stack: RunningStack) -> Iterator[Shop]:
    """Yield the running shop."""
    email, password = stack.admin_credentials()
    shop = Shop(stack.url("http"), admin_email=email, admin_password=password)
    yield shop
    shop.close()


@pytest.fixture
def customer(shop: Shop) -> Customer:
    """Return a customer of this test alone."""
    return shop.register()


@pytest.fixture
def other_customer(shop: Shop) -> Customer:
    """Return another customer of this test alone."""
    return shop.register()
