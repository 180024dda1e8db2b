"""The orders' own records in MongoDB, in the order of their ids; read only."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import pymongo

from scripts.verification.facts import History, ListEntry, Waiting
from services.orders import codec
from services.orders.reconciliation.records import SagaEntry

DOCUMENTS_AT_ONCE = 2_000
TIMEOUT_MS = 5_000


class OrderRecords:
    """The histories, the list and the sagas of one database."""

    def __init__(self, url: str) -> None:
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            url,
            tz_aware=True,
            connect=False,
            serverSelectionTimeoutMS=TIMEOUT_MS,
            connectTimeoutMS=TIMEOUT_MS,
        )
        self._database = self._client.get_default_database()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def histories(self) -> Iterator[History]:
        """Yield the events of each order."""
        found = self._database.events.find().sort([("order_id", 1), ("sequence", 1)])
        events = found.batch_size(DOCUMENTS_AT_ONCE)
        for order_id, documents in groupby(events, itemgetter("order_id")):
            history = tuple(codec.from_document(document) for document in documents)
            yield History(order_id=order_id, events=history)

    def list_entries(self) -> Iterator[ListEntry]:
        """Yield the entries of the customers' lists."""
        for found in self._by_id("orders"):
            yield ListEntry(
                order_id=found["_id"], user_id=found["user_id"], created_at=found["created_at"]
            )

    def sagas(self) -> Iterator[SagaEntry]:
        """Yield the sagas."""
        for found in self._by_id("sagas"):
            yield SagaEntry(order_id=found["_id"], due_at=found["due_at"])

    def outbox(self) -> Waiting:
        """Return what waits in the outbox."""
        outbox = self._database.outbox
        oldest = outbox.find_one({}, {"time": 1}, sort=[("time", 1)])
        seconds = (datetime.now(UTC) - oldest["time"]).total_seconds() if oldest else 0.0
        return Waiting(where="outbox of orders", count=outbox.count_documents({}), seconds=seconds)

    def _by_id(self, collection: str) -> Iterator[dict[str, Any]]:
        fields = {"user_id": 1, "created_at": 1, "due_at": 1}
        yield from (
            self._database[collection].find({}, fields).sort("_id").batch_size(DOCUMENTS_AT_ONCE)
        )
