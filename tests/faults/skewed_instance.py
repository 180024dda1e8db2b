"""The process of a service whose clock is wrong.

`python -m tests.faults.skewed_instance MODULE SECONDS|jumping`: the clock of the service is so
many seconds ahead, or jumps forth and back. `time.time` stays right: gRPC computes deadlines with
it here and with the machine's clock in its core, which only a whole machine can set.
"""

import runpy
import sys
import time
from datetime import UTC, datetime, timedelta

ALMOST_AN_HOUR = 3_000.0
"""Tokens are valid for an hour, whoever looks at them."""
JUMP_SECONDS = 2.0

CLOCK = "0"


def skew() -> float:
    """Return how far the clock is ahead now, in seconds."""
    if CLOCK != "jumping":
        return float(CLOCK)
    ahead = int(time.monotonic() / JUMP_SECONDS) % 2
    return ALMOST_AN_HOUR if ahead else -ALMOST_AN_HOUR


def skewed_now() -> datetime:
    """Return the time by the wrong clock."""
    return datetime.now(UTC) + timedelta(seconds=skew())


if __name__ == "__main__":
    module, CLOCK = sys.argv[1:]
    sys.argv[1:] = []  # the verbs of the service
    # First of all: modules of the service import the function by its name.
    from services.common import clock

    clock.utc_now = skewed_now
    runpy.run_module(module, run_name="__main__", alter_sys=True)
