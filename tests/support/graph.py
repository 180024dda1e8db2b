"""The graph of the running shop, as its server has it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import neo4j

from scripts.stack.client import Stack
from services.recommendations.repository import connect

NODES = {
    "clients": "MATCH (n:Client) RETURN n.user_id, n.animal_type, n.as_of, n.bucket",
    "products": "MATCH (n:Product) RETURN n.product_id, n.sku, n.title, n.category, n.as_of",
    "cancelled": "MATCH (n:CancelledOrder) RETURN n.order_id",
}
PURCHASES = """
MATCH (c:Client)-[b:BOUGHT]->(p:Product)
RETURN c.user_id, p.product_id, b.trained_at, b.last_at, b.orders, b.times
"""
EVENTS = "MATCH (n:Event) WHERE NOT n.event_id STARTS WITH 'demo-client-' RETURN n.event_id"
"""No event told of the demo clients: what is remembered of them is for `seed` alone."""
TOLD = "MATCH (n:Client {user_id: $user_id}) WHERE n.as_of > 0 RETURN n.user_id"


class Graph:
    """What the graph holds, in an order that is always the same."""

    def __init__(self, driver: neo4j.Driver, database: str) -> None:
        self._driver = driver
        self._database = database

    def all(self) -> dict[str, Any]:
        """Return all nodes and relations with all that is known of them, but for events."""
        nodes = {name: self._rows(query) for name, query in NODES.items()}
        return nodes | {"purchases": self._purchases()}

    def events(self) -> set[str]:
        """Return the ids of the events that had their effect."""
        return {event_id for (event_id,) in self._rows(EVENTS)}

    def orders_of(self, user_id: str) -> Sequence[str]:
        """Return the orders that a client's purchases are from, each as often as it is there."""
        theirs = (purchase for purchase in self._purchases() if purchase[0] == user_id)
        return sorted(order_id for *_, orders in theirs for order_id, _ in orders)

    def knows(self, user_id: str) -> bool:
        """Return whether it was told of a client's account."""
        return bool(self._rows(TOLD, user_id=user_id))

    def _purchases(self) -> list[Any]:
        return [
            [*bought, sorted(zip(orders, times, strict=True))]
            for *bought, orders, times in self._rows(PURCHASES)
        ]

    def _rows(self, query: Any, **facts: Any) -> list[Any]:
        answer = self._driver.execute_query(query, facts, database_=self._database)
        return sorted(record.values() for record in answer.records)


@contextmanager
def graph_of(stack: Stack) -> Iterator[Graph]:
    """Yield the graph of a running stack."""
    driver, database = connect(stack.store_url("recommendations"))
    with driver:
        yield Graph(driver, database)
