"""The buyers of a product are stored with it, and are right whatever happens to its purchases."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from services.common.context import CallContext, use
from services.recommendations.domain import Candidates, History, OrderCancelled, OrderPlaced
from services.recommendations.repository import (
    READ_TIMEOUT_SECONDS,
    BoltRecommendationsRepository,
)
from services.recommendations.tests.fakes import NOW, build_product
from services.recommendations.tests.test_repository import retry

BUYERS = """
MATCH (p:Product)
RETURN p.product_id AS product_id, p.buyers AS stored, COUNT { (p)<-[:BOUGHT]-() } AS counted
"""
PRODUCTS = [build_product(f"p{n}") for n in range(6)]


def assert_stored_buyers_are_right(graph, *, total):
    rows = graph(BUYERS)
    assert [row["stored"] for row in rows] == [row["counted"] for row in rows]
    assert sum(row["stored"] for row in rows) == total


def order(number):
    chance = random.Random(number)
    return OrderPlaced(
        order_id=f"order-{number}",
        user_id=f"customer-{number % 5}",
        products=chance.sample(PRODUCTS, 3),
        as_of=NOW,
    )


@pytest.mark.integration
class TestOnARealGraph:
    def test_concurrent_orders_and_cancellations_are_counted(self, store, graph):
        store.upsert_products(PRODUCTS, NOW)
        calls = []
        for number in range(30):
            placed = order(number)
            calls.append(partial(store.apply, f"placed-{number}", placed))
            cancelled = OrderCancelled(order_id=placed.order_id, user_id=placed.user_id)
            if number % 3:
                calls.append(partial(store.apply, f"cancelled-{number}", cancelled))
        calls += [partial(store.train, "customer-1", ["id-p1"], NOW)] * 3
        random.Random(1).shuffle(calls)
        with ThreadPoolExecutor(8) as workers:
            list(workers.map(retry, calls))
        left = {
            (placed.user_id, product.product_id)
            for placed in map(order, range(0, 30, 3))
            for product in placed.products
        }
        assert_stored_buyers_are_right(graph, total=len(left | {("customer-1", "id-p1")}))

    def test_a_replay_begins_with_the_buyers_of_trained_purchases(self, store, graph):
        for number in range(8):
            store.apply(f"placed-{number}", order(number))
        store.train("customer-1", ["id-p0"], NOW)
        store.delete_event_data()
        assert_stored_buyers_are_right(graph, total=1)

    def test_a_migration_counts_the_buyers_of_products_that_have_none_stored(self, store, graph):
        for number in range(8):
            store.apply(f"placed-{number}", order(number))
        total = sum(row["counted"] for row in graph(BUYERS))
        graph("MATCH (p:Product) REMOVE p.buyers")
        store.apply("placed-9", order(3))  # adds nothing; the old products have no count yet
        store.migrate()
        assert_stored_buyers_are_right(graph, total=total)


class RecordingDriver:
    """Records the time-outs of transactions that read."""

    def __init__(self):
        self.timeouts = []

    @contextmanager
    def session(self, **_options):
        yield self

    def execute_read(self, work):
        self.timeouts.append(getattr(work, "timeout", None))
        return Candidates(history=History(user_id="alice"))


def test_the_server_ends_a_query_that_takes_too_long_or_whose_caller_has_left():
    driver: Any = RecordingDriver()
    graph = BoltRecommendationsRepository(driver, "shop")
    graph.load_candidates("alice", 5)
    with use(CallContext(deadline=time.monotonic() + 0.5)):
        graph.load_candidates("alice", 5)
    assert driver.timeouts == [
        pytest.approx(READ_TIMEOUT_SECONDS, abs=0.1),
        pytest.approx(0.5, abs=0.1),
    ]
