"""The priority of what nobody waits for."""

import os
import threading
from contextlib import suppress

NICENESS = 10
"""A thread that wants a whole core gets about a tenth of it while others want it too."""


def yield_to_calls() -> None:
    """Lower the priority of this thread alone, below the threads that answer calls.

    Where the system has priorities for processes only, nothing happens.
    """
    thread = threading.get_native_id()
    with suppress(OSError):
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(now, NICENESS))
