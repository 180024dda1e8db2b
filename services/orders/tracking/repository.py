"""The events of the orders in MongoDB, as those who follow orders read them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pymongo
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.read_concern import ReadConcern

from services.orders import codec
from services.orders.domain import Recorded
from services.orders.store import translate_errors

# What is told cannot be taken back: only what no failover can undo is read.
SAFE = ReadConcern("majority")
ADDED: list[dict[str, Any]] = [
    {"$match": {"operationType": "insert"}},
    {"$project": {"fullDocument.order_id": 1}},
]
AWAIT_MS = 1_000


class FeedRepository(Protocol):
    """Reads the events of orders, and tells when there are more."""

    async def history(self, order_id: str, *, after: int = 0) -> Sequence[Recorded]:
        """Return the events of an order behind a place in its history, oldest first."""

    def added(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Yield the orders to which events are added, from now on and as it happens."""

    async def close(self) -> None:
        """Let go of the store."""


class MongoFeedRepository:
    """The events, on the loop that first uses the client; it is the owner of the client."""

    def __init__(self, client: pymongo.AsyncMongoClient) -> None:
        self._client = client
        self._events = client.get_default_database(read_concern=SAFE).events

    async def history(self, order_id: str, *, after: int = 0) -> Sequence[Recorded]:
        """Return the events of an order behind a place in its history, oldest first."""
        behind = {"order_id": order_id, "sequence": {"$gt": after}}
        with translate_errors():
            found = self._events.find(behind).sort("sequence")
            return [codec.to_recorded(document) async for document in found]

    @asynccontextmanager
    async def added(self) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the orders to which events are added, from now on and as it happens."""
        with translate_errors():
            async with await self._events.watch(ADDED, max_await_time_ms=AWAIT_MS) as stream:
                yield _order_ids(stream)

    async def close(self) -> None:
        """Let go of the store."""
        await self._client.close()


async def _order_ids(stream: AsyncChangeStream) -> AsyncIterator[str]:
    while stream.alive:
        # One question at a time: the client's limit is for each.
        if change := await stream.try_next():
            yield change["fullDocument"]["order_id"]
