"""The promotions' outbox in Redis, as the relay empties it.

Events are put into it by the script that adds the promotion they tell of.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import redis
from redis import exceptions as redis_errors

from services.common.messaging.events import CloudEvent
from services.promotions.repository import OUTBOX, PREFIX
from services.promotions.store import translate_errors

OUTBOX_LOCK = f"{PREFIX}:outbox-lock"
LOCK_SECONDS = 3


class RedisOutbox:
    """The outbox of the promotions. Whoever takes events holds a lock for a while at most."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        """Yield the oldest events and drop them at the end; nothing while others take some."""
        lock = self._client.lock(OUTBOX_LOCK, timeout=LOCK_SECONDS, blocking=False)
        with translate_errors():
            entries = self._oldest(limit) if self._waits() and lock.acquire() else []
        yield [_to_event(fields) for _, fields in entries]
        if entries:
            with translate_errors(), suppress(redis_errors.LockNotOwnedError):
                self._client.xdel(OUTBOX, *(position for position, _ in entries))
                lock.release()

    def _waits(self) -> bool:
        return bool(self._client.xlen(OUTBOX))

    def _oldest(self, limit: int) -> list[Any]:
        found: Any = self._client.xrange(OUTBOX, count=limit)
        return found


def _to_event(fields: dict[bytes, bytes]) -> CloudEvent:
    text = {name.decode(): value for name, value in fields.items() if name != b"data"}
    attributes: dict[str, Any] = {name: value.decode() for name, value in text.items()}
    moment = datetime.fromisoformat(attributes.pop("time"))
    return CloudEvent(time=moment, data=fields[b"data"], **attributes)
