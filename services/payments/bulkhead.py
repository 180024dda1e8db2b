"""A bulkhead before slow calls: they occupy a bounded part of the threads, fairly by customer."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.payments.domain import ProviderBusyError


class Bulkhead:
    """Admits `limit` calls at once, of one customer `limit_per_customer`.

    Calls beyond that are rejected at once instead of waiting: a waiting call would occupy a
    thread too, and the caller repeats it anyway.
    """

    def __init__(self, *, limit: int, limit_per_customer: int) -> None:
        self._limit = limit
        self._limit_per_customer = limit_per_customer
        self._active: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def admit(self, user_id: str) -> Iterator[None]:
        """Occupy a place inside the block; ProviderBusyError when there is none."""
        self._enter(user_id)
        try:
            yield
        finally:
            self._leave(user_id)

    def _enter(self, user_id: str) -> None:
        with self._lock:
            is_full = self._active.total() >= self._limit
            if is_full or self._active[user_id] >= self._limit_per_customer:
                raise ProviderBusyError
            self._active[user_id] += 1

    def _leave(self, user_id: str) -> None:
        with self._lock:
            self._active[user_id] -= 1
            if not self._active[user_id]:
                del self._active[user_id]
