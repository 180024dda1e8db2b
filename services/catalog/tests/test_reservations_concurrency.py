"""Reservations in PostgreSQL under concurrency: orders, and the sweeper."""

import random
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import sqlalchemy as sa

from services.catalog import domain
from services.catalog.domain import Line
from services.catalog.schema import reservations
from services.catalog.tests.fakes import (
    NOW,
)
from services.catalog.tests.reserving import (
    FIRST,
    SECOND,
    THIRD,
    build_postgres,
    commit,
    release,
    reserve,
    states,
    stock,
)
from services.catalog.worker import ReservationSweeper

pytestmark = pytest.mark.integration


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
            # Closed: the other one of the two has released it meanwhile.
            with suppress(domain.OutOfStockError, domain.ReservationClosedError):
                reserve(repository, *lines, order_id=order_id)
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
