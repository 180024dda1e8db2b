"""The process of an orders instance that kills itself at a chosen step of a saga.

`python -m tests.faults.dying_orders STEP before|after`: before the step is executed, or
between its execution and the commit of its events.
"""

import os
import signal
import sys
from collections.abc import Sequence

from services.orders import __main__ as orders
from services.orders.domain import Event, Order, Step
from services.orders.saga import Steps


class DyingSteps(Steps):
    """Saga steps, one of which kills the process."""

    def take(self, step: Step, order: Order) -> Sequence[Event]:
        """Execute a step, and die before or after it when it is the chosen one."""
        deadly = step == sys.argv[1]
        if deadly and sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        events = super().take(step, order)
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return events


if __name__ == "__main__":
    orders.Steps = DyingSteps  # type: ignore[misc]
    orders.serve(orders.read_config())
