"""The promotions' outbox in Redis, as the relay reads it.

The script that adds a promotion also adds its event to the outbox.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis import exceptions as redis_errors
from typing_extensions import override

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox
from services.promotions.codec import decode_event
from services.promotions.repository import OUTBOX, PREFIX
from services.promotions.store import store_call

OUTBOX_LOCK = f"{PREFIX}:outbox-lock"
LOCK_SECONDS = 3


class RedisOutbox(Outbox):
    """The outbox of the promotions: one relay at a time holds its lock, for 3 s at most."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @override
    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        lock = self._client.lock(OUTBOX_LOCK, timeout=LOCK_SECONDS, blocking=False)
        with store_call():
            entries = self._oldest(limit) if self._has_events() and lock.acquire() else []
        yield [decode_event(fields) for _, fields in entries]
        if entries:
            with store_call(), suppress(redis_errors.LockNotOwnedError):
                self._client.xdel(OUTBOX, *(position for position, _ in entries))
                lock.release()

    def _has_events(self) -> bool:
        return bool(self._client.xlen(OUTBOX))

    def _oldest(self, limit: int) -> list[Any]:
        entries: Any = self._client.xrange(OUTBOX, count=limit)
        return entries
