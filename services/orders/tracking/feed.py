"""Wakes those who follow an order when something happens to it.

All of an instance hear from one change stream. It only wakes: what happened is read from the
store, behind what was told already, so that nothing is told twice or left out, however slow
a client is and whatever the change stream missed while the store was away. Those whom it
should have woken and did not find out when they look by themselves (at every heartbeat).
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from services.common.errors import StoreUnavailableError
from services.orders.domain import Order, OrderNotFoundError
from services.orders.tracking import domain
from services.orders.tracking.repository import FeedRepository

RETRY_DELAY_SECONDS = 0.5

log = structlog.get_logger()


class Follower:
    """Somebody who follows an order, and how far they know it."""

    def __init__(self, *, repository: FeedRepository, order_id: str) -> None:
        self._repository = repository
        self._order_id = order_id
        self._order: Order | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Let them look again."""
        self._wake.set()

    @property
    def order(self) -> Order:
        """Return the order as far as they know it."""
        assert self._order, "it is loaded first"
        return self._order

    async def load(self) -> Sequence[Order]:
        """Return how the order stood after each status it had; OrderNotFoundError without one."""
        history = await self._repository.history(self._order_id)
        if not history:
            raise OrderNotFoundError(self._order_id)
        self._order, changes = domain.begin(self._order_id, history)
        return changes

    async def wait(self, seconds: float) -> bool:
        """Wait until woken, so long at most; tell whether something may have happened."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def look(self) -> Sequence[Order]:
        """Return how the order stood after each status that it got meanwhile.

        Empty when the store is away: a client who waits goes on waiting.
        """
        self._wake.clear()
        try:
            news = await self._repository.history(self._order_id, after=self.order.sequence)
        except StoreUnavailableError:
            return []
        self._order, changes = domain.advance(self.order, news)
        return changes


class OrderFeed:
    """Knows who follows which order on this instance."""

    def __init__(
        self, *, repository: FeedRepository, retry_delay_seconds: float = RETRY_DELAY_SECONDS
    ) -> None:
        self._repository = repository
        self._retry_delay_seconds = retry_delay_seconds
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)
        self.is_closed = False

    @property
    def followers(self) -> int:
        """Return how many follow an order now."""
        return sum(map(len, self._followers.values()))

    @contextmanager
    def follow(self, order_id: str) -> Iterator[Follower]:
        """Yield somebody who is woken, inside the block, whenever something may have happened."""
        follower = Follower(repository=self._repository, order_id=order_id)
        self._followers[order_id].add(follower)
        try:
            yield follower
        finally:
            self._followers[order_id].discard(follower)
            if not self._followers[order_id]:
                del self._followers[order_id]

    async def run(self) -> None:
        """Wake followers until cancelled, whatever becomes of the store meanwhile."""
        try:
            while True:
                try:
                    await self._listen()
                except Exception as error:  # noqa: BLE001 - whatever it is, it begins again
                    log.warning("feed_interrupted", error=repr(error))
                await asyncio.sleep(self._retry_delay_seconds)
        finally:
            await self._repository.close()

    async def _listen(self) -> None:
        async with self._repository.added() as order_ids:
            # What happened while nobody listened.
            self._wake_all()
            async for order_id in order_ids:
                for follower in self._followers.get(order_id, ()):
                    follower.wake()

    def close(self) -> None:
        """Let everybody come to an end."""
        self.is_closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.wake()
