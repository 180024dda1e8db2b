"""A steady load of requests that counts how each of them ended."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support.waiting import eventually

MAX_CONCURRENT_CALLS = 8


class SteadyLoad:
    """Makes `per_second` calls a second inside a `with` block.

    `outcomes` counts HTTP statuses ("200") and transport errors.
    """

    def __init__(self, call: Callable[[], httpx.Response], *, per_second: int = 50) -> None:
        self._call = call
        self._interval = 1 / per_second
        self._stopping = threading.Event()
        self._callers = ThreadPoolExecutor(MAX_CONCURRENT_CALLS)
        self._pacer = threading.Thread(target=self._pace)
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> "SteadyLoad":
        self._pacer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        self._pacer.join()
        self._callers.shutdown(wait=True)

    @property
    def count(self) -> int:
        """Return how many calls have ended."""
        with self._lock:
            return self.outcomes.total()

    def await_more(self, calls: int) -> None:
        """Wait until that many more calls have ended."""
        wanted = self.count + calls
        eventually(lambda: self.count >= wanted, seconds=30)

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._callers.submit(self._call_once)
            due += self._interval

    def _call_once(self) -> None:
        try:
            outcome = str(self._call().status_code)
        except httpx.HTTPError as error:
            outcome = repr(error)
        with self._lock:
            self.outcomes[outcome] += 1
