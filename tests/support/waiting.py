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
