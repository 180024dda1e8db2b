"""The process of a service whose clock is wrong.

`python -m tests.faults.skewed_instance MODULE SECONDS|jumping`: the clock of the service is so
many seconds ahead, or jumps forth and back. Only the time of day is wrong: time-outs are counted
by the monotonic clock, as on a machine whose clock was set.
"""

import runpy
import sys
import time
from datetime import UTC, datetime, timedelta

ALMOST_AN_HOUR = 3_000.0
"""Tokens are valid for an hour, whoever looks at them."""
JUMP_SECONDS = 2.0

CLOCK = "0"

_true_time = time.time


def skew() -> float:
    """Return how far the clock is ahead now, in seconds."""
    if CLOCK != "jumping":
        return float(CLOCK)
    ahead = int(time.monotonic() / JUMP_SECONDS) % 2
    return ALMOST_AN_HOUR if ahead else -ALMOST_AN_HOUR


def skewed_time() -> float:
    """Return the seconds since the epoch by the wrong clock."""
    return _true_time() + skew()


def skewed_now() -> datetime:
    """Return the time by the wrong clock."""
    return datetime.now(UTC) + timedelta(seconds=skew())


if __name__ == "__main__":
    module, CLOCK = sys.argv[1:]
    sys.argv[1:] = []  # the verbs of the service
    # First of all: modules of the service import the function by its name.
    from services.common import clock

    clock.utc_now = skewed_now
    time.time = skewed_time
    runpy.run_module(module, run_name="__main__", alter_sys=True)
