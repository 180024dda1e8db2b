"""Contract tests of the reservations repositories: in memory and PostgreSQL."""

import random
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from services.catalog import domain
from services.catalog.domain import Line, Reservation, ReservationState
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.reservations_repository import PostgresReservationsRepository
from services.catalog.schema import outbox, reservations
from services.catalog.tests.fakes import (
    NOW,
    InMemoryCatalogRepository,
    InMemoryReservationsRepository,
    build_product,
)
from services.catalog.worker import ReservationSweeper

FIRST, SECOND, THIRD = (build_product(number) for number in (1, 2, 3))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repositories(request):
    """Return a catalog of three products and the repository of their reservations."""
    if request.param == "postgres":
        return build_postgres(request.getfixturevalue("engine"))
    catalog = build_catalog(InMemoryCatalogRepository())
    return catalog, InMemoryReservationsRepository(catalog)


def build_postgres(engine):
    catalog = build_catalog(PostgresCatalogRepository(engine))
    return catalog, PostgresReservationsRepository(engine)


def build_catalog(catalog):
    for product in (FIRST, SECOND, THIRD):
        catalog.add(product)
    return catalog


def reserve(repository, *lines, order_id=None, expires_at=NOW + timedelta(minutes=1)):
    wanted = Reservation(
        order_id=order_id or str(uuid.uuid4()),
        state=ReservationState.HELD,
        expires_at=expires_at,
        lines=list(lines),
    )
    return repository.reserve(wanted)


def commit(repository, order_id):
    repository.commit(order_id)


def release(repository, order_id):
    repository.release(order_id, NOW)


def stock(catalog, product):
    return catalog.find(product.product_id).stock


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


def states(repository):
    return {found.order_id: found.state for found in repository.list_from("", 1000)}


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
class TestUnderConcurrency:
    @pytest.fixture
    def repositories(self, engine):
        return build_postgres(engine)

    def test_the_last_units_are_reserved_once(self, repositories):
        catalog, repository = repositories

        def buy(_):
            try:
                return bool(reserve(repository, Line(FIRST.product_id, 1)))
            except domain.OutOfStockError:
                return False

        with ThreadPoolExecutor(8) as buyers:
            assert sum(buyers.map(buy, range(30))) == 10
        assert stock(catalog, FIRST) == 0

    def test_concurrent_repeats_of_one_order_reserve_once(self, repositories):
        catalog, repository = repositories
        order_id = str(uuid.uuid4())
        repeat = partial(reserve, repository, Line(FIRST.product_id, 2), order_id=order_id)
        with ThreadPoolExecutor(8) as repeats:
            list(repeats.map(lambda _: repeat(), range(20)))
        assert stock(catalog, FIRST) == 8

    def test_twenty_buyers_of_baskets_sell_what_is_there_and_no_more(self, repositories):
        catalog, repository = repositories
        for product in (FIRST, SECOND, THIRD):
            catalog.adjust(product.product_id, 40, reason="delivery", by="admin")
        choices = random.Random(7)
        baskets = [
            [
                Line(product.product_id, choices.randint(1, 3))
                for product in choices.sample((FIRST, SECOND, THIRD), choices.randint(1, 3))
            ]
            for _ in range(100)
        ]

        def buy(number):
            """Reserve a basket, sometimes twice at once; commit or release most of them."""
            lines, order_id = baskets[number // 2], str(uuid.UUID(int=number // 2))
            try:
                reserve(repository, *lines, order_id=order_id)
            except (domain.OutOfStockError, domain.ReservationClosedError):
                return
            if number % 4 == 0:
                commit(repository, order_id)
            elif number % 7 == 0:
                release(repository, order_id)

        with ThreadPoolExecutor(20) as buyers:
            list(buyers.map(buy, range(200)))
        sold: Counter[str] = Counter()
        for found in repository.list_from("", 1000):
            if found.is_off_sale:
                sold.update({line.product_id: line.quantity for line in found.lines})
        for product in (FIRST, SECOND, THIRD):
            assert stock(catalog, product) + sold[product.product_id] == 50
        assert any(stock(catalog, product) < 3 for product in (FIRST, SECOND, THIRD))

    def test_a_release_and_a_reservation_at_once_leave_the_stock_on_sale(self, repositories):
        catalog, repository = repositories

        def race(number):
            order_id = str(uuid.UUID(int=number // 2))
            with suppress(domain.ReservationClosedError):
                if number % 2:
                    release(repository, order_id)
                else:
                    reserve(repository, Line(FIRST.product_id, 1), order_id=order_id)

        with ThreadPoolExecutor(8) as callers:
            list(callers.map(race, range(200)))
        assert set(states(repository).values()) == {"RELEASED"}
        assert stock(catalog, FIRST) == 10

    def test_orders_of_the_same_products_in_any_sequence_do_not_deadlock(self, repositories):
        catalog, repository = repositories
        lines = [Line(product.product_id, 1) for product in (FIRST, SECOND, THIRD)]
        orders = [lines, lines[::-1]] * 5
        with ThreadPoolExecutor(8) as buyers:
            list(buyers.map(lambda order: reserve(repository, *order), orders))
        assert {stock(catalog, product) for product in (FIRST, SECOND, THIRD)} == {0}


@pytest.mark.integration
class TestTheSweeper:
    @pytest.fixture
    def repositories(self, engine):
        return build_postgres(engine)

    def test_what_another_transaction_changes_is_left_out(self, engine, repositories):
        _, repository = repositories
        line = Line(FIRST.product_id, 1)
        busy, free = (reserve(repository, line, expires_at=NOW) for _ in range(2))
        row = sa.select(reservations).where(reservations.c.order_id == busy.order_id)
        with engine.begin() as connection:
            connection.execute(row.with_for_update())
            assert repository.expire(NOW, limit=10) == 1
        assert states(repository) == {busy.order_id: "HELD", free.order_id: "EXPIRED"}

    def test_three_thousand_holds_are_back_on_sale_within_five_seconds(self, engine, repositories):
        catalog, repository = repositories
        insert = sa.insert(reservations)
        lines = [{"product_id": FIRST.product_id, "quantity": 1}]
        overdue = {"state": "HELD", "expires_at": NOW, "lines": lines}
        with engine.begin() as connection:
            held = [overdue | {"order_id": str(uuid.uuid4())} for _ in range(3_000)]
            connection.execute(insert, held)
        sweepers = [ReservationSweeper(reservations=repository, clock=lambda: NOW)] * 5
        started = time.monotonic()
        with ThreadPoolExecutor(5) as instances:
            swept = list(instances.map(lambda sweeper: sweeper.sweep(), sweepers))
        assert sum(swept) == 3_000
        assert time.monotonic() - started < 5
        assert stock(catalog, FIRST) == 3_010

    def test_orders_that_end_while_the_sweeper_expires_them_do_not_deadlock(self, repositories):
        catalog, repository = repositories
        lines = [Line(product.product_id, 1) for product in (FIRST, SECOND)]

        def buy(number):
            held = reserve(repository, *lines[:: 1 if number % 2 else -1], expires_at=NOW)
            (commit if number % 3 else release)(repository, held.order_id)
            release(repository, held.order_id)

        sweeper = ReservationSweeper(reservations=repository, clock=lambda: NOW)
        with ThreadPoolExecutor(7) as pool:
            sweeps = [pool.submit(sweeper.sweep) for _ in range(40)]
            orders = [pool.submit(buy, number) for number in range(40)]
            for done in (*sweeps, *orders):
                done.result()
        assert (stock(catalog, FIRST), stock(catalog, SECOND)) == (10, 10)


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
