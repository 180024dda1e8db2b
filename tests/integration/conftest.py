"""The four services of an order in one process, with real stores and gRPC."""

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from tests.integration.order_shop import OrderShop
from tests.plugin import run_sql


@pytest.fixture
def payments_url(postgres_url: str) -> Iterator[str]:
    """Yield the URL of a second empty PostgreSQL database, which is dropped afterwards."""
    name = f"{make_url(postgres_url).database}_payments"
    run_sql(postgres_url, f"CREATE DATABASE {name}")
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    run_sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def shop(postgres_url, payments_url, redis_url, mongodb_url) -> Iterator[OrderShop]:
    """Yield the services, with products and promotion codes."""
    shop = OrderShop(
        catalog_url=postgres_url,
        payments_url=payments_url,
        promotions_url=redis_url,
        orders_url=mongodb_url,
    )
    shop.start()
    yield shop
    shop.stop()
