"""Awaits conditions: a test never sleeps for "long enough"."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(check: Callable[[], Result | None], *, seconds: float = 10.0) -> Result:
    """Return the first truthy answer of `check`; fail with the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {answer!r}"
        time.sleep(0.02)
    return answer
