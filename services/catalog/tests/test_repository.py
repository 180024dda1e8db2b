"""The promises of a catalog repository, kept by the fake and by the real store."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import services.catalog
from services.catalog import domain
from services.catalog.domain import Line, Reservation, ReservationState
from services.catalog.repository import (
    CatalogRepository,
    PostgresCatalogRepository,
    ProductQuery,
)
from services.catalog.schema import outbox
from services.catalog.tests.fakes import InMemoryCatalogRepository, build_product
from services.common.errors import StoreUnavailableError
from services.common.storage import migrations, postgres

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (build_product(number) for number in (1, 2, 3))
MIGRATIONS = Path(services.catalog.__path__[0]) / "migrations"


@pytest.fixture
def engine(postgres_url):
    migrations.migrate(url=postgres_url, directory=MIGRATIONS)
    engine = postgres.create_engine(postgres_url, pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repository(request):
    real = request.param == "postgres"
    repository: CatalogRepository = (
        PostgresCatalogRepository(request.getfixturevalue("engine"))
        if real
        else InMemoryCatalogRepository()
    )
    for product in (FIRST, SECOND, THIRD):
        repository.add(product)
    return repository


def hold(repository, *lines, order_id=None, expires_at=NOW + timedelta(minutes=1)):
    wanted = Reservation(
        order_id=order_id or str(uuid.uuid4()),
        state=ReservationState.HELD,
        expires_at=expires_at,
        lines=list(lines),
    )
    decide = lambda existing: domain.reserve(existing, wanted)  # noqa: E731
    return repository.change_reservation(wanted.order_id, decide)


def stock(repository, product):
    return repository.find(product.product_id).stock


def test_a_product_is_found_by_id_and_by_sku(repository):
    assert repository.find(FIRST.product_id) == FIRST
    assert repository.find(FIRST.sku) == FIRST


def test_ids_are_compared_without_case(repository):
    assert repository.find(FIRST.product_id.upper()) == FIRST


@pytest.mark.parametrize(
    "name", ["nothing", f"urn:uuid:{FIRST.product_id}", FIRST.product_id.replace("-", ""), "٣" * 32]
)
def test_an_unknown_product_is_not_found(repository, name):
    with pytest.raises(domain.ProductNotFoundError):
        repository.find(name)


def test_many_products_are_found_by_the_names_asked_for(repository):
    found = repository.find_many([FIRST.sku, SECOND.product_id, "nothing"])
    assert found == {FIRST.sku: FIRST, SECOND.product_id: SECOND}


def test_a_page_is_a_part_of_all_that_match(repository):
    page, total = repository.search(ProductQuery(page=2, limit=2))
    assert (page, total) == ([THIRD], 3)


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({"category": "dog-food"}, 3),
        ({"category": "cat-food"}, 0),
        ({"text": "KIBBLE 2"}, 1),
        ({"text": "crunchy"}, 3),
        ({"text": "100%"}, 0),
        ({"text": "_"}, 0),
    ],
)
def test_filters_narrow_the_search(repository, query, total):
    assert repository.search(ProductQuery(page=1, limit=10, **query))[1] == total


def test_a_sku_is_taken_once(repository):
    with pytest.raises(domain.SkuExistsError):
        repository.add(replace(build_product(4), sku=FIRST.sku))


def test_an_update_leaves_the_stock_alone(repository):
    repository.update(replace(FIRST, title="New", stock=99))
    assert repository.find(FIRST.sku) == replace(FIRST, title="New")


def test_an_adjustment_answers_what_is_on_sale(repository):
    assert repository.adjust(FIRST.product_id, 5, reason="delivery", by="admin") == 15
    assert repository.adjust(FIRST.product_id, -15, reason="recall", by="admin") == 0


def test_an_adjustment_below_zero_changes_nothing(repository):
    with pytest.raises(domain.StockBelowZeroError):
        repository.adjust(FIRST.product_id, -11, reason="typo", by="admin")
    assert stock(repository, FIRST) == 10


def test_a_hold_takes_every_line_off_sale(repository):
    hold(repository, Line(FIRST.product_id, 3), Line(SECOND.product_id, 10))
    assert (stock(repository, FIRST), stock(repository, SECOND)) == (7, 0)


def test_a_hold_that_is_short_takes_nothing_and_names_what_is_short(repository):
    with pytest.raises(domain.OutOfStockError) as caught:
        hold(repository, Line(FIRST.product_id, 3), Line(SECOND.product_id, 11))
    assert caught.value.metadata["productIds"] == SECOND.product_id
    assert caught.value.metadata["availableQuantities"] == "10"
    assert stock(repository, FIRST) == 10


def test_a_reservation_is_kept_between_decisions(repository):
    held = hold(repository, Line(FIRST.product_id, 3))
    sold = repository.change_reservation(held.order_id, lambda r: domain.commit(r, held.order_id))
    assert sold == replace(held, state=ReservationState.COMMITTED)
    repository.change_reservation(held.order_id, lambda r: domain.release(r, held.order_id, NOW))
    assert stock(repository, FIRST) == 10


def test_only_holds_whose_time_is_over_are_expired_oldest_first(repository):
    late = hold(repository, Line(FIRST.product_id, 1), expires_at=NOW - timedelta(minutes=1))
    older = hold(repository, Line(FIRST.product_id, 1), expires_at=NOW - timedelta(minutes=2))
    hold(repository, Line(FIRST.product_id, 1), expires_at=NOW + timedelta(minutes=1))
    sold = hold(repository, Line(FIRST.product_id, 1), expires_at=NOW - timedelta(minutes=3))
    repository.change_reservation(sold.order_id, lambda r: domain.commit(r, sold.order_id))
    assert repository.expired_orders(NOW, limit=10) == [older.order_id, late.order_id]
    assert repository.expired_orders(NOW, limit=1) == [older.order_id]


@pytest.mark.integration
def test_a_store_that_is_away_is_said_so():
    repository = PostgresCatalogRepository(postgres.create_engine("postgresql://127.0.0.1:1/none"))
    with pytest.raises(StoreUnavailableError):
        repository.find("sku_001")


@pytest.mark.integration
class TestUnderConcurrency:
    @pytest.fixture
    def repository(self, engine):
        repository = PostgresCatalogRepository(engine)
        for product in (FIRST, SECOND, THIRD):
            repository.add(product)
        return repository

    def test_the_last_units_are_sold_once(self, repository):
        def buy(_):
            try:
                return bool(hold(repository, Line(FIRST.product_id, 1)))
            except domain.OutOfStockError:
                return False

        with ThreadPoolExecutor(8) as buyers:
            assert sum(buyers.map(buy, range(30))) == 10
        assert stock(repository, FIRST) == 0

    def test_one_order_holds_once_however_often_it_asks(self, repository):
        order_id = str(uuid.uuid4())
        with ThreadPoolExecutor(8) as repeats:
            list(
                repeats.map(
                    lambda _: hold(repository, Line(FIRST.product_id, 2), order_id=order_id),
                    range(20),
                )
            )
        assert stock(repository, FIRST) == 8

    def test_orders_that_want_the_same_products_in_any_order_do_not_deadlock(self, repository):
        there = [Line(FIRST.product_id, 1), Line(SECOND.product_id, 1), Line(THIRD.product_id, 1)]
        orders = [there, there[::-1]] * 5
        with ThreadPoolExecutor(8) as buyers:
            list(buyers.map(lambda lines: hold(repository, *lines), orders))
        assert {stock(repository, product) for product in (FIRST, SECOND, THIRD)} == {0}

    def test_stock_that_runs_low_is_told_once(self, repository, engine):
        for quantity in (4, 1, 1):
            hold(repository, Line(FIRST.product_id, quantity))
        with engine.connect() as connection:
            told = connection.execute(sa.select(outbox)).all()
        assert [(event.type, event.subject) for event in told] == [
            ("mamie_rosa.events.v1.StockLow", FIRST.product_id)
        ]


def test_reservations_are_listed_by_order_from_an_order_on(repository):
    orders = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "0a39f"]
    for order_id in orders:
        hold(repository, Line(FIRST.product_id, 1), order_id=order_id)

    def listed(order_id, limit):
        return [found.order_id for found in repository.reservations_from(order_id, limit)]

    assert listed("", 10) == sorted(orders)
    assert listed(sorted(orders)[2], 2) == sorted(orders)[2:4]
    assert listed("22222222-2222-4222-8222-222222222222", 1) == sorted(orders)[1:2]
    assert listed("ffffffff-ffff-4fff-8fff-ffffffffffff", 1) == []


def test_a_listed_reservation_is_as_it_was_kept(repository):
    held = hold(repository, Line(FIRST.product_id, 1), Line(SECOND.product_id, 2))
    assert repository.reservations_from("", 1) == [held]
