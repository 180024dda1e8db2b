"""The whole shop, for tests that cross services."""

from collections.abc import Iterator

import pytest

from scripts.stack.client import Stack
from tests.support.log_privacy import find_private_data, find_private_spans
from tests.support.running_stack import RunningStack
from tests.support.shop import Customer, Shop


@pytest.fixture(scope="session")
def private_logs(stack: RunningStack) -> Iterator[None]:
    """Check at the end of all tests that they left nothing private in the logs and spans.

    Logs of containers are not kept in files.
    """
    yield
    if isinstance(stack, Stack):
        problems = [
            *find_private_data(stack.data / "logs"),
            *find_private_spans(stack.data / "traces"),
        ]
        assert not problems, "\n".join(problems)


@pytest.fixture(scope="session")
def shop(stack: RunningStack, private_logs: None) -> Iterator[Shop]:
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
