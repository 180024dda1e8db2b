"""The promises of a ratings repository, kept by the fake and by the real store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import services.catalog
from services.catalog.domain import Rating
from services.catalog.ratings_repository import PostgresRatingsRepository
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.schema import ratings
from services.catalog.tests.fakes import (
    NOW,
    InMemoryCatalogRepository,
    InMemoryRatingsRepository,
    build_product,
)
from services.common.storage import migrations, postgres

FIRST, SECOND = (build_product(number) for number in (1, 2))
MIGRATIONS = Path(services.catalog.__path__[0]) / "migrations"


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(postgres_url):
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def shelf(request, clock):
    """Return a catalog of two products, and the ratings of them."""
    catalog, kept = opened(request, clock)
    for product in (FIRST, SECOND):
        catalog.add(product)
    return catalog, kept


def opened(request, clock):
    if request.param == "postgres":
        engine = request.getfixturevalue("engine")
        return PostgresCatalogRepository(engine), PostgresRatingsRepository(engine, clock=clock)
    catalog = InMemoryCatalogRepository()
    return catalog, InMemoryRatingsRepository(catalog, clock=clock)


def rate(kept, user_id, stars, product=FIRST, comment=""):
    return kept.rate(product.product_id, user_id, stars=stars, comment=comment)


def seen(catalog, product=FIRST):
    found = catalog.find(product.sku)
    return found.rating_average, found.rating_count


def test_a_rating_is_kept_as_it_was_given(shelf):
    _, kept = shelf
    assert rate(kept, "alice", 4, comment="Crunchy!") == Rating(
        product_id=FIRST.product_id,
        user_id="alice",
        stars=4,
        comment="Crunchy!",
        created_at=NOW,
    )


def test_a_product_without_ratings_has_none(shelf):
    catalog, _ = shelf
    assert seen(catalog) == (0.0, 0)


@pytest.mark.parametrize(
    ("stars", "average"), [([5], 5.0), ([4, 5], 4.5), ([1, 1, 2], 1.33), ([1, 2, 2], 1.67)]
)
def test_a_product_tells_how_many_there_are_and_their_mean_with_two_digits(shelf, stars, average):
    catalog, kept = shelf
    for number, given in enumerate(stars):
        rate(kept, f"client-{number}", given)
    assert seen(catalog) == (average, len(stars))
    assert seen(catalog, SECOND) == (0.0, 0)


def test_a_second_rating_replaces_the_first(shelf, clock):
    catalog, kept = shelf
    rate(kept, "alice", 1, comment="Stale.")
    clock.now += timedelta(days=1)
    again = rate(kept, "alice", 5)
    assert (again.stars, again.comment, again.created_at) == (5, "", NOW)
    assert seen(catalog) == (5.0, 1)


def test_a_new_page_leaves_the_ratings_alone(shelf):
    catalog, kept = shelf
    rate(kept, "alice", 4)
    catalog.update(replace(FIRST, title="New"))
    assert seen(catalog) == (4.0, 1)


@pytest.mark.integration
def test_however_many_rate_at_once_the_product_tells_what_the_ratings_come_to(engine):
    catalog, kept = PostgresCatalogRepository(engine), PostgresRatingsRepository(engine)
    catalog.add(FIRST)
    given = [(f"client-{number % 30}", 1 + number % 5) for number in range(120)]
    with ThreadPoolExecutor(8) as raters:
        list(raters.map(lambda rating: rate(kept, *rating), given))
    query = sa.select(sa.func.round(sa.func.avg(ratings.c.stars), 2), sa.func.count())
    with engine.connect() as connection:
        average, count = connection.execute(query.select_from(ratings)).one()
    assert seen(catalog) == (float(average), count) == (float(average), 30)
