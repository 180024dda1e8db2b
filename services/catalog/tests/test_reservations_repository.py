"""Contract tests of the reservations repositories: in memory and PostgreSQL."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.catalog import domain
from services.catalog.domain import Line, ReservationState
from services.catalog.schema import outbox
from services.catalog.tests.fakes import (
    NOW,
    InMemoryCatalogRepository,
    InMemoryReservationsRepository,
)
from services.catalog.tests.reserving import (
    FIRST,
    SECOND,
    build_catalog,
    build_postgres,
    commit,
    release,
    reserve,
    states,
    stock,
)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repositories(request):
    """Return a catalog of three products and the repository of their reservations."""
    if request.param == "postgres":
        return build_postgres(request.getfixturevalue("engine"))
    catalog = build_catalog(InMemoryCatalogRepository())
    return catalog, InMemoryReservationsRepository(catalog)


def test_a_reservation_takes_every_line_off_sale(repositories):
    catalog, repository = repositories
    reserve(repository, Line(FIRST.product_id, 3), Line(SECOND.product_id, 10))
    assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (7, 0)


def test_a_short_line_reserves_nothing_and_is_named(repositories):
    catalog, repository = repositories
    with pytest.raises(domain.OutOfStockError) as caught:
        reserve(repository, Line(FIRST.product_id, 3), Line(SECOND.product_id, 11))
    assert caught.value.metadata["productIds"] == SECOND.product_id
    assert caught.value.metadata["availableQuantities"] == "10"
    assert stock(catalog, FIRST) == 10


def test_a_change_is_stored_for_the_next(repositories):
    catalog, repository = repositories
    held = reserve(repository, Line(FIRST.product_id, 3))
    commit(repository, held.order_id)
    assert repository.list_from("", 1) == [replace(held, state=ReservationState.COMMITTED)]
    release(repository, held.order_id)
    assert repository.list_from("", 1) == [replace(held, state=ReservationState.RELEASED)]
    assert stock(catalog, FIRST) == 10


def test_a_repeat_reserves_nothing_more_and_gets_the_same_answer(repositories):
    catalog, repository = repositories
    lines = [Line(FIRST.product_id, 3), Line(SECOND.product_id, 1)]
    held = reserve(repository, *lines)
    later = NOW + timedelta(hours=1)
    assert reserve(repository, *lines, order_id=held.order_id, expires_at=later) == held
    assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (7, 9)


def test_other_lines_of_an_order_are_rejected(repositories):
    catalog, repository = repositories
    held = reserve(repository, Line(FIRST.product_id, 3))
    with pytest.raises(domain.ReservationMismatchError):
        reserve(repository, Line(FIRST.product_id, 1), order_id=held.order_id)
    assert stock(catalog, FIRST) == 7


def test_a_released_order_cannot_reserve_nor_commit(repositories):
    catalog, repository = repositories
    order_id = str(uuid.uuid4())
    release(repository, order_id)
    with pytest.raises(domain.ReservationClosedError):
        reserve(repository, Line(FIRST.product_id, 3), order_id=order_id)
    with pytest.raises(domain.ReservationClosedError):
        commit(repository, order_id)
    assert stock(catalog, FIRST) == 10


def test_commits_and_releases_may_be_repeated(repositories):
    catalog, repository = repositories
    held = reserve(repository, Line(FIRST.product_id, 3), Line(SECOND.product_id, 2))
    for _ in range(2):
        commit(repository, held.order_id)
    assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (7, 8)
    for _ in range(2):
        release(repository, held.order_id)
    assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (10, 10)


def test_an_unknown_order_commits_nothing(repositories):
    _, repository = repositories
    with pytest.raises(domain.ReservationNotFoundError):
        commit(repository, str(uuid.uuid4()))


def test_a_late_commit_reserves_again(repositories):
    catalog, repository = repositories
    held = reserve(repository, Line(FIRST.product_id, 3), expires_at=NOW)
    assert repository.expire(NOW, limit=10) == 1
    commit(repository, held.order_id)
    assert states(repository) == {held.order_id: "COMMITTED"}
    assert stock(catalog, FIRST) == 7


def test_only_overdue_held_reservations_expire_oldest_first(repositories):
    catalog, repository = repositories
    line = Line(FIRST.product_id, 1)
    newer = reserve(repository, line, expires_at=NOW)
    older = reserve(repository, line, expires_at=NOW - timedelta(seconds=2))
    committed = reserve(repository, line, expires_at=NOW - timedelta(seconds=3))
    commit(repository, committed.order_id)
    held = reserve(repository, line, expires_at=NOW + timedelta(seconds=1))
    assert repository.expire(NOW, limit=1) == 1
    assert states(repository)[older.order_id] == "EXPIRED"
    assert states(repository)[newer.order_id] == "HELD"
    assert [repository.expire(NOW, limit=10) for _ in range(2)] == [1, 0]
    assert states(repository) == {
        newer.order_id: "EXPIRED",
        older.order_id: "EXPIRED",
        committed.order_id: "COMMITTED",
        held.order_id: "HELD",
    }
    assert stock(catalog, FIRST) == 8


def test_a_batch_puts_the_units_of_all_its_products_back_on_sale(repositories):
    catalog, repository = repositories
    for quantity in (1, 2, 3):
        lines = [Line(SECOND.product_id, quantity), Line(FIRST.product_id, 1)]
        reserve(repository, *lines, expires_at=NOW)
    assert [repository.expire(NOW, limit=2) for _ in range(2)] == [2, 1]
    assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (10, 10)


def test_reservations_are_listed_by_order_id_from_an_order_on(repositories):
    _, repository = repositories
    orders = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "0a39f"]
    for order_id in orders:
        reserve(repository, Line(FIRST.product_id, 1), order_id=order_id)

    def listed(order_id, limit):
        return [found.order_id for found in repository.list_from(order_id, limit)]

    assert listed("", 10) == sorted(orders)
    assert listed(sorted(orders)[2], 2) == sorted(orders)[2:4]
    assert listed("22222222-2222-4222-8222-222222222222", 1) == sorted(orders)[1:2]
    assert listed("ffffffff-ffff-4fff-8fff-ffffffffffff", 1) == []
    named = repository.list_of([orders[3], "22222222-2222-4222-8222-222222222222", orders[0]])
    assert {found.order_id for found in named} == {orders[3], orders[0]}


def test_a_reservation_is_listed_as_it_was_stored(repositories):
    _, repository = repositories
    held = reserve(repository, Line(FIRST.product_id, 1), Line(SECOND.product_id, 2))
    assert repository.list_from("", 1) == [held]


@pytest.mark.integration
def test_low_stock_is_published_once(engine):
    _, repository = build_postgres(engine)
    for quantity in (4, 1, 1):
        reserve(repository, Line(FIRST.product_id, quantity))
    with engine.connect() as connection:
        events = connection.execute(sa.select(outbox)).all()
    assert [(event.type, event.subject) for event in events] == [
        ("mamie_rosa.events.v1.StockLow", FIRST.product_id)
    ]
