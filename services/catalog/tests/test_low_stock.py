"""The products whose stock is low, in PostgreSQL."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.catalog.low_stock import PostgresLowStockRepository
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.tests.conftest import MIGRATIONS
from services.catalog.tests.fakes import NOW, build_product
from services.common.storage import migrations

pytestmark = pytest.mark.integration

BACK_TO_0005 = ("DROP TABLE low_stock", "UPDATE alembic_version SET version_num = '0005'")


class Clock:
    """A clock that is an hour later each time."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
def catalog(engine):
    catalog = PostgresCatalogRepository(engine, clock=Clock())
    for number, stock in ((1, 10), (2, 10), (3, 5)):
        catalog.add(build_product(number, stock=stock))
    return catalog


@pytest.fixture
def low(engine):
    return PostgresLowStockRepository(engine)


def skus(low, limit=10):
    found, total = low.list_low(limit)
    return [(each.sku, each.stock) for each in found], total


def adjust(catalog, number, quantity):
    catalog.adjust(build_product(number).product_id, quantity, reason="count", by="admin")


def test_a_product_is_low_from_the_threshold_down_until_it_is_above(catalog, low):
    assert skus(low) == ([("sku_003", 5)], 1)
    adjust(catalog, 1, -5)
    adjust(catalog, 1, -4)
    assert skus(low) == ([("sku_001", 1), ("sku_003", 5)], 2)
    assert skus(low, limit=1) == ([("sku_001", 1)], 2)
    adjust(catalog, 3, 1)
    assert skus(low) == ([("sku_001", 1)], 1)


def test_what_a_release_before_this_one_sold_or_delivered_is_right_too(
    catalog, low, engine, postgres_url
):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE products SET stock = 9 WHERE sku = 'sku_003'"))
    assert skus(low) == ([], 0)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE products SET stock = 2 WHERE sku = 'sku_002'"))
        for statement in BACK_TO_0005:
            connection.execute(sa.text(statement))
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    assert skus(low) == ([("sku_002", 2)], 1)
