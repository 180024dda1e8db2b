"""Calls at the same time, and calls that repeat in the background."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

INTERVAL_SECONDS = 0.05


def call_at_once(times: int, call: Callable[[], Result]) -> list[Result]:
    """Return the results of that many calls, made at the same time."""
    with ThreadPoolExecutor(times) as callers:
        return list(callers.map(lambda _: call(), range(times)))


@contextmanager
def repeating(call: Callable[[], Result]) -> Iterator[list[Result]]:
    """Repeat a call in a thread; yield the growing list of its results."""
    stopping = threading.Event()
    results: list[Result] = []

    def repeat() -> None:
        while not stopping.wait(INTERVAL_SECONDS):
            results.append(call())

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield results
    finally:
        stopping.set()
        thread.join()
