"""A feed repository in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from typing_extensions import override

from services.common.errors import StoreUnavailableError
from services.orders.events import Event, OrderPlaced, RecordedEvent
from services.orders.tests.fakes import InMemoryOrdersRepository
from services.orders.tracking.repository import FeedRepository


class InMemoryFeedRepository(FeedRepository):
    """The histories of an orders repository, with a change stream that can be interrupted.

    `is_unavailable` makes reads fail; `reads` are the ids of the orders that were read.
    """

    def __init__(self, orders: InMemoryOrdersRepository) -> None:
        self._orders = orders
        self._changes: asyncio.Queue[str] | None = None
        self.is_unavailable = False
        self.is_closed = False
        self.reads: list[str] = []

    @property
    def is_watched(self) -> bool:
        return self._changes is not None

    @override
    async def history(self, order_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        self.reads.append(order_id)
        if self.is_unavailable:
            raise StoreUnavailableError
        return self._orders.history(order_id)[after:]

    @override
    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[str]]:
        self._changes = asyncio.Queue()
        try:
            yield self._order_ids(self._changes)
        finally:
            self._changes = None

    async def _order_ids(self, changes: asyncio.Queue[str]) -> AsyncIterator[str]:
        while order_id := await changes.get():
            yield order_id
        raise StoreUnavailableError

    @override
    async def close(self) -> None:
        self.is_closed = True

    def append(self, order_id: str, *events: Event) -> None:
        """Append events to an order, and notify who watches."""
        self._orders.append(self._orders.load(order_id), events)
        if self._changes:
            for _ in events:
                self._changes.put_nowait(order_id)

    def place(self, order_id: str, placed: OrderPlaced) -> None:
        """Store one more order."""
        self._orders.place(order_id, placed, payment_token="t")

    def drop_notifications(self) -> None:
        """Lose all notifications from now on, without an error."""
        self._changes = asyncio.Queue()

    def interrupt(self) -> None:
        """Break the change stream off; until it is opened again changes are lost."""
        if self._changes:
            self._changes.put_nowait("")
            self._changes = None
