"""The priority of what nobody waits for."""

import os
import threading
from contextlib import suppress

NICENESS = 10
"""On a core that calls want too, such a thread gets about a tenth."""


def yield_to_calls() -> None:
    """Lower the priority of this thread alone, below the threads that answer calls.

    Where the system has priorities for processes only, nothing happens.
    """
    thread = threading.get_native_id()
    with suppress(OSError):
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(now, NICENESS))
