"""Contract tests of the ratings repositories: in memory and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

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

FIRST, SECOND = (build_product(number) for number in (1, 2))


class AdjustableClock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return AdjustableClock()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repositories(request, clock):
    """Return a catalog of two products and the repository of their ratings."""
    if request.param == "postgres":
        return build_postgres(request.getfixturevalue("engine"), clock)
    catalog = build_catalog(InMemoryCatalogRepository())
    return catalog, InMemoryRatingsRepository(catalog, clock=clock)


def build_postgres(engine, clock):
    catalog = build_catalog(PostgresCatalogRepository(engine))
    return catalog, PostgresRatingsRepository(engine, clock=clock)


def build_catalog(catalog):
    for product in (FIRST, SECOND):
        catalog.add(product)
    return catalog


def rate(repository, user_id, stars, comment=""):
    return repository.rate(FIRST.product_id, user_id, stars=stars, comment=comment)


def summary(catalog, product=FIRST):
    found = catalog.find(product.sku)
    return found.rating_average, found.rating_count


def test_a_rating_is_stored_as_given(repositories):
    _, repository = repositories
    assert rate(repository, "alice", 4, comment="Crunchy!") == Rating(
        product_id=FIRST.product_id,
        user_id="alice",
        stars=4,
        comment="Crunchy!",
        created_at=NOW,
    )


def test_a_product_without_ratings_has_an_average_and_count_of_zero(repositories):
    catalog, _ = repositories
    assert summary(catalog) == (0.0, 0)


@pytest.mark.parametrize(
    ("stars", "average"), [([5], 5.0), ([4, 5], 4.5), ([1, 1, 2], 1.33), ([1, 2, 2], 1.67)]
)
def test_a_product_has_the_count_and_the_average_with_two_decimals(repositories, stars, average):
    catalog, repository = repositories
    for number, given in enumerate(stars):
        rate(repository, f"customer-{number}", given)
    assert summary(catalog) == (average, len(stars))
    assert summary(catalog, SECOND) == (0.0, 0)


def test_a_second_rating_replaces_the_first(repositories, clock):
    catalog, repository = repositories
    rate(repository, "alice", 1, comment="Stale.")
    clock.now += timedelta(days=1)
    second = rate(repository, "alice", 5)
    assert (second.stars, second.comment, second.created_at) == (5, "", NOW)
    assert summary(catalog) == (5.0, 1)


def test_updating_a_product_does_not_change_its_ratings(repositories):
    catalog, repository = repositories
    rate(repository, "alice", 4)
    catalog.update(replace(FIRST, title="New"))
    assert summary(catalog) == (4.0, 1)


@pytest.mark.integration
def test_concurrent_ratings_leave_the_right_average_and_count(engine, clock):
    catalog, repository = build_postgres(engine, clock)
    given = [(f"customer-{number % 30}", 1 + number % 5) for number in range(120)]
    with ThreadPoolExecutor(8) as customers:
        list(customers.map(lambda rating: rate(repository, *rating), given))
    query = sa.select(sa.func.round(sa.func.avg(ratings.c.stars), 2), sa.func.count())
    with engine.connect() as connection:
        average, count = connection.execute(query.select_from(ratings)).one()
    assert summary(catalog) == (float(average), count) == (float(average), 30)
