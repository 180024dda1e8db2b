"""A bulkhead: what is expensive gets a part of the threads and connections, never all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.common.errors import ResourceExhaustedError


class SearchOverloadedError(ResourceExhaustedError):
    """Too many searches run at once, or this one took too long."""

    reason = "SEARCH_OVERLOADED"

    def __init__(self) -> None:
        super().__init__("Too many searches at once; try again.", retryAfterSeconds="1")


class Bulkhead:
    """Lets `running` searches run at once and as many wait a moment; rejects the rest at once."""

    def __init__(self, *, running: int = 4, wait_seconds: float = 0.1) -> None:
        self._wait_seconds = wait_seconds
        self._admitted = threading.Semaphore(2 * running)
        self._running = threading.Semaphore(running)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Run the block inside; SearchOverloadedError when there is no room in time."""
        if not self._admitted.acquire(blocking=False):
            raise SearchOverloadedError
        try:
            if not self._running.acquire(timeout=self._wait_seconds):
                raise SearchOverloadedError
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._admitted.release()
