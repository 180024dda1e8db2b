"""Notifies the streams of an instance of changes to the orders that they track.

All streams share one change stream of the store. It only notifies: what happened is read from
the store, after the last event that a stream has seen, so no event is missed or repeated,
however slow a client is and whatever happens to the change stream. A stream that misses a
notification finds the change at its next heartbeat.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from typing_extensions import override

from services.common.errors import StoreUnavailableError
from services.common.rpc.streaming import Source
from services.orders.domain import Order
from services.orders.errors import OrderNotFoundError
from services.orders.tracking import domain
from services.orders.tracking.repository import FeedRepository

RETRY_DELAY_SECONDS = 0.5

log = structlog.get_logger()


class Subscription:
    """One stream's view of an order: the events that it has seen so far."""

    def __init__(self, *, repository: FeedRepository, order_id: str) -> None:
        self._repository = repository
        self._order_id = order_id
        self._order: Order | None = None
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Say that the order may have changed."""
        self._changed.set()

    @property
    def order(self) -> Order:
        """Return the order after the last event that was read."""
        assert self._order, "load() comes first"
        return self._order

    async def load(self) -> Sequence[Order]:
        """Read the order; return it as it was after each change of its status.

        OrderNotFoundError if it does not exist.
        """
        history = await self._repository.history(self._order_id)
        if not history:
            raise OrderNotFoundError(self._order_id)
        self._order, changes = domain.replay(self._order_id, history)
        return changes

    async def wait(self, seconds: float) -> bool:
        """Wait for a notification; return False after a timeout."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def read_changes(self) -> Sequence[Order]:
        """Read new events; return the order as it was after each change of its status.

        Empty while the store is unavailable: the stream stays open and tries again later.
        """
        self._changed.clear()
        try:
            events = await self._repository.history(self._order_id, after=self.order.sequence)
        except StoreUnavailableError:
            return []
        self._order, changes = domain.advance(self.order, events)
        return changes


class OrderFeed(Source):
    """The subscriptions of this instance, by order."""

    def __init__(
        self, *, repository: FeedRepository, retry_delay_seconds: float = RETRY_DELAY_SECONDS
    ) -> None:
        self._repository = repository
        self._retry_delay_seconds = retry_delay_seconds
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)
        self.is_closed = False

    @property
    def subscription_count(self) -> int:
        """Return the number of open subscriptions."""
        return sum(map(len, self._subscriptions.values()))

    @contextmanager
    def subscribe(self, order_id: str) -> Iterator[Subscription]:
        """Yield a subscription that is notified inside the block whenever the order changes."""
        subscription = Subscription(repository=self._repository, order_id=order_id)
        self._subscriptions[order_id].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[order_id].discard(subscription)
            if not self._subscriptions[order_id]:
                del self._subscriptions[order_id]

    @override
    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._listen()
                except Exception as error:  # noqa: BLE001 - after any error it listens again
                    log.warning("feed_interrupted", error=repr(error))
                await asyncio.sleep(self._retry_delay_seconds)
        finally:
            await self._repository.close()

    async def _listen(self) -> None:
        async with self._repository.watch() as order_ids:
            # Orders may have changed while the change stream was interrupted.
            self._notify_all()
            async for order_id in order_ids:
                for subscription in self._subscriptions.get(order_id, ()):
                    subscription.notify()

    @override
    def close(self) -> None:
        self.is_closed = True
        self._notify_all()

    def _notify_all(self) -> None:
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.notify()
