"""The graph of recommendations of a running stack, read from its store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import neo4j

from services.recommendations.repository import connect
from tests.support.running_stack import RunningStack

NODES: dict[str, LiteralString] = {
    "customers": "MATCH (n:Client) RETURN n.user_id, n.animal_type, n.version, n.as_of, n.bucket",
    "products": "MATCH (n:Product) RETURN n.product_id, n.sku, n.title, n.category, n.as_of",
    "cancelled": "MATCH (n:CancelledOrder) RETURN n.order_id",
}
PURCHASES: LiteralString = """
MATCH (c:Client)-[b:BOUGHT]->(p:Product)
RETURN c.user_id, p.product_id, b.trained_at, b.last_at, b.orders, b.times
"""
PROCESSED_EVENTS: LiteralString = (
    "MATCH (n:Event) WHERE NOT n.event_id STARTS WITH 'demo-client-' RETURN n.event_id"
)
"""Without the events of demo customers: no service published them, `seed` made them."""
ACCOUNT: LiteralString = "MATCH (n:Client {user_id: $user_id}) WHERE n.as_of > 0 RETURN n.user_id"


class RecommendationsGraph:
    """What the graph holds, always in the same order."""

    def __init__(self, driver: neo4j.Driver, database: str) -> None:
        self._driver = driver
        self._database = database

    def snapshot(self) -> dict[str, Any]:
        """Return all nodes and relations with their properties, without processed events."""
        nodes = {name: self._rows(query) for name, query in NODES.items()}
        return nodes | {"purchases": self._purchases()}

    def processed_events(self) -> set[str]:
        """Return the ids of the events that had their effect."""
        return {event_id for (event_id,) in self._rows(PROCESSED_EVENTS)}

    def orders_of(self, user_id: str) -> Sequence[str]:
        """Return the orders of a customer's purchases, each as often as it is stored."""
        purchases = (purchase for purchase in self._purchases() if purchase[0] == user_id)
        return sorted(order_id for *_, orders in purchases for order_id, _ in orders)

    def has_account(self, user_id: str) -> bool:
        """Return whether an event of a customer's account had its effect."""
        return bool(self._rows(ACCOUNT, user_id=user_id))

    def _purchases(self) -> list[Any]:
        return [
            [*bought, sorted(zip(orders, times, strict=True))]
            for *bought, orders, times in self._rows(PURCHASES)
        ]

    def _rows(self, query: LiteralString, **parameters: str) -> list[Any]:
        answer = self._driver.execute_query(query, parameters, database_=self._database)
        return sorted(record.values() for record in answer.records)


@contextmanager
def open_graph(stack: RunningStack) -> Iterator[RecommendationsGraph]:
    """Yield the graph of a running stack."""
    driver, database = connect(stack.store_url("recommendations"))
    with driver:
        yield RecommendationsGraph(driver, database)
