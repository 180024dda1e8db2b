"""Migrations of a catalog that has products and ratings."""

import pytest
import sqlalchemy as sa

from services.catalog.ratings_repository import PostgresRatingsRepository
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.search_repository import PostgresProductSearch, ProductQuery
from services.catalog.tests.conftest import MIGRATIONS
from services.catalog.tests.fakes import build_product
from services.common.storage import migrations

pytestmark = pytest.mark.integration

BACK_TO_0002 = (
    "DROP FUNCTION notify_of_product, notify_of_all_products CASCADE",
    "DROP TABLE listings, product_ratings",
    "CREATE INDEX ix_products_category ON products (category)",
    "UPDATE alembic_version SET version_num = '0002'",
)


def test_products_and_ratings_of_the_release_before_are_listed_and_summed(engine, postgres_url):
    catalog = PostgresCatalogRepository(engine)
    for number in (1, 2):
        catalog.add(build_product(number, title=f"Pâtée {number}"))
    for user_id, stars in (("alice", 5), ("bob", 2)):
        PostgresRatingsRepository(engine).rate(
            build_product(1).product_id, user_id, stars=stars, comment=""
        )
    before = [catalog.find(f"sku_{number:03}") for number in (1, 2)]
    with engine.begin() as connection:
        for statement in BACK_TO_0002:
            connection.execute(sa.text(statement))
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    found = PostgresProductSearch(engine).search(ProductQuery(page=1, limit=5, text="patee"))
    assert found == (before, 2)
    assert [product.rating_average for product in before] == [3.5, 0]
