"""Loads thousands of orders into a graph at once, with the result of their events."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from scripts.evaluation.synthetic import History, Order
from services.recommendations.cypher import COUNT_BUYERS
from services.recommendations.graph import bucket, to_micros

Query = Callable[..., Sequence[Any]]
"""Runs Cypher with named parameters and returns its rows."""

BATCH_SIZE = 1_000
DELETE_ALL = (
    "MATCH ()-[b]->() WITH b LIMIT 5000 DELETE b RETURN count(*) AS deleted",
    "MATCH (n) WITH n LIMIT 5000 DELETE n RETURN count(*) AS deleted",
)
PRODUCTS = """
UNWIND $rows AS row
CREATE (:Product {product_id: row.product_id, sku: row.sku, title: row.title,
                  category: row.category, as_of: 0})
"""
CUSTOMERS = """
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


def delete_all(query: Query) -> None:
    """Delete all data of the graph."""
    for statement in DELETE_ALL:
        while query(statement)[0]["deleted"]:
            pass


def load(query: Query, history: History, orders: Sequence[Order]) -> None:
    """Load the products of a shop and some of its orders into an empty graph."""
    user_ids = sorted({order.user_id for order in orders} | set(history.animals))
    _in_batches(query, PRODUCTS, (asdict(product) for product in history.products))
    _in_batches(
        query,
        CUSTOMERS,
        (
            {
                "user_id": user_id,
                "animal_type": history.animals.get(user_id, ""),
                "bucket": bucket(user_id),
            }
            for user_id in user_ids
        ),
    )
    _in_batches(query, PURCHASES, _purchases(orders))
    while query(COUNT_BUYERS)[0]["changed"]:
        pass


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
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_SIZE)):
        query(statement, rows=batch)
