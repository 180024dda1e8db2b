"""Waiting for conditions, so that no test sleeps for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.02


def eventually(check: Callable[[], Result | None], *, seconds: float = 10.0) -> Result:
    """Return the first truthy result of `check`; AssertionError with the last one at the end."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last result: {result!r}"
        time.sleep(POLL_SECONDS)
    return result


def remains(check: Callable[[], object], *, seconds: float) -> None:
    """Return after some seconds in which `check` was always true; AssertionError otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert check(), f"no longer, {deadline - time.monotonic():.1f} s before the end"
        time.sleep(POLL_SECONDS)
