"""The whole shop, for tests that cross services."""

from collections.abc import Iterator

import pytest

from scripts.stack.client import Stack
from tests.support.shop import Person, Shop


@pytest.fixture(scope="session")
def shop(stack: Stack) -> Iterator[Shop]:
    """Yield the running shop."""
    email, password = stack.admin_credentials()
    shop = Shop(stack.url("http"), admin_email=email, admin_password=password)
    yield shop
    shop.close()


@pytest.fixture
def alice(shop: Shop) -> Person:
    """Return a client of the shop that no other test knows."""
    return shop.register()
