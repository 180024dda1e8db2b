"""A steady load of requests, and what became of each."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

CALLERS = 8


class SteadyLoad:
    """Makes `per_second` calls a second inside a `with` block; `outcomes` counts how they ended."""

    def __init__(self, call: Callable[[], httpx.Response], *, per_second: int = 50) -> None:
        self._call = call
        self._pause = 1 / per_second
        self._stopping = threading.Event()
        self._callers = ThreadPoolExecutor(CALLERS)
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

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._callers.submit(self._once)
            due += self._pause

    def _once(self) -> None:
        try:
            outcome = str(self._call().status_code)
        except httpx.HTTPError as error:
            outcome = repr(error)
        with self._lock:
            self.outcomes[outcome] += 1
