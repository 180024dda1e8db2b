"""Reads how many orders are unfinished, and how old the oldest is, from the store."""

import pymongo

from services.common.background import PeriodicWorker
from services.orders.metrics.saga import OLDEST, UNFINISHED
from services.orders.store import NOT_COMPLETE, open_database, store_call

INTERVAL_SECONDS = 10.0
MOST = 10_000
"""How many unfinished orders are looked at: the figures are a lower bound beyond that."""


class UnfinishedOrders:
    """The sagas that are not complete: an index finds these alone, by the clock of the store."""

    def __init__(self, client: pymongo.MongoClient) -> None:
        self._sagas = open_database(client).sagas

    def worker(self) -> PeriodicWorker:
        """Build the worker that measures periodically."""
        return PeriodicWorker(name="saga-age", work=self.measure, interval_seconds=INTERVAL_SECONDS)

    def measure(self) -> None:
        """Set the gauges; StoreUnavailableError."""
        placed = {"from": "orders", "localField": "_id", "foreignField": "_id", "as": "order"}
        oldest = {"$min": {"$first": "$order.created_at"}}
        with store_call():
            found = list(
                self._sagas.aggregate(
                    [
                        {"$match": NOT_COMPLETE},
                        {"$limit": MOST},
                        {"$lookup": placed},
                        {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": oldest}},
                        {"$set": {"age": {"$subtract": ["$$NOW", "$oldest"]}}},
                    ]
                )
            )
        figures = found[0] if found else {}
        UNFINISHED.set(figures.get("count", 0))
        OLDEST.set(max(0, figures.get("age") or 0) / 1000)
