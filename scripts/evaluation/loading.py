"""Fills a graph with thousands of orders at once, as if events had told of each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from scripts.evaluation.baskets import History, Order
from services.recommendations.graph import bucket, to_micros

Query = Callable[..., Sequence[Any]]
"""Runs Cypher with facts by name and returns its rows."""

BATCH = 1_000
EMPTY = (
    "MATCH ()-[b]->() WITH b LIMIT 5000 DELETE b RETURN count(*) AS done",
    "MATCH (n) WITH n LIMIT 5000 DELETE n RETURN count(*) AS done",
)
PRODUCTS = """
UNWIND $rows AS row
CREATE (:Product {product_id: row.product_id, sku: row.sku, title: row.title,
                  category: row.category, as_of: 0})
"""
CLIENTS = """
UNWIND $rows AS row
CREATE (:Client {user_id: row.user_id, animal_type: row.animal_type, as_of: 0,
                 bucket: row.bucket})
"""
PURCHASES = """
UNWIND $rows AS row
MATCH (c:Client {user_id: row.user_id})
MATCH (p:Product {product_id: row.product_id})
CREATE (c)-[:BOUGHT {orders: row.orders, times: row.times, trained_at: 0,
                     last_at: row.last_at}]->(p)
"""


def empty(query: Query) -> None:
    """Delete everything in the graph."""
    for statement in EMPTY:
        while query(statement)[0]["done"]:
            pass


def load(query: Query, history: History, orders: Sequence[Order]) -> None:
    """Fill an empty graph with the products of a shop and some of its orders."""
    clients = sorted({order.user_id for order in orders} | set(history.animals))
    _in_batches(query, PRODUCTS, (asdict(product) for product in history.products))
    _in_batches(
        query,
        CLIENTS,
        (
            {
                "user_id": name,
                "animal_type": history.animals.get(name, ""),
                "bucket": bucket(name),
            }
            for name in clients
        ),
    )
    _in_batches(query, PURCHASES, _purchases(orders))


def _purchases(orders: Sequence[Order]) -> Iterable[dict[str, Any]]:
    found: dict[tuple[str, str], list[Order]] = defaultdict(list)
    for order in orders:
        for product_id in order.product_ids:
            found[order.user_id, product_id].append(order)
    for (user_id, product_id), of in found.items():
        times = [to_micros(order.at) for order in of]
        yield {
            "user_id": user_id,
            "product_id": product_id,
            "orders": [order.order_id for order in of],
            "times": times,
            "last_at": max(times),
        }


def _in_batches(query: Query, statement: str, rows: Iterable[dict[str, Any]]) -> None:
    waiting = iter(rows)
    while batch := list(islice(waiting, BATCH)):
        query(statement, rows=batch)
