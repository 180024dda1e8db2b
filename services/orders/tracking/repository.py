"""The events of orders in MongoDB, as streams read them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pymongo
from pymongo.asynchronous.change_stream import AsyncChangeStream
from typing_extensions import override

from services.orders import codec
from services.orders.events import RecordedEvent
from services.orders.store import DURABLE, store_call, translate_errors

INSERTS: list[dict[str, Any]] = [
    {"$match": {"operationType": "insert"}},
    {"$project": {"fullDocument.order_id": 1}},
]
MAX_AWAIT_MS = 1_000


class FeedRepository(Protocol):
    """Reads the events of orders, and watches for new ones."""

    async def history(self, order_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """Return the events of an order after a sequence number, oldest first."""

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Yield the id of an order for each event that is appended from now on."""

    async def close(self) -> None:
        """Close the connection to the store."""


class MongoFeedRepository(FeedRepository):
    """The collection `events`, on the event loop that first uses the client; it owns that."""

    def __init__(self, client: pymongo.AsyncMongoClient) -> None:
        self._client = client
        self._events = client.get_default_database(read_concern=DURABLE).events

    @override
    async def history(self, order_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        newer = {"order_id": order_id, "sequence": {"$gt": after}}
        with store_call():
            found = self._events.find(newer).sort("sequence")
            return [codec.from_document(document) async for document in found]

    @override
    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[str]]:
        with translate_errors():
            async with await self._events.watch(INSERTS, max_await_time_ms=MAX_AWAIT_MS) as stream:
                yield _order_ids(stream)

    @override
    async def close(self) -> None:
        await self._client.close()


async def _order_ids(stream: AsyncChangeStream) -> AsyncIterator[str]:
    while stream.alive:
        # try_next and not next: the client's timeout is for each call.
        if change := await stream.try_next():
            yield change["fullDocument"]["order_id"]
