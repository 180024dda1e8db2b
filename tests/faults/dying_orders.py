"""An orders instance that kills itself at a chosen step of a saga.

`python -m tests.faults.dying_orders STEP before|after`: before the step is done, or when it
is done but its events are not stored yet.
"""

import os
import signal
import sys
from collections.abc import Sequence

from services.orders import __main__ as orders
from services.orders.domain import Order, Step
from services.orders.events import Event
from services.orders.saga import SagaSteps


class DyingSteps(SagaSteps):
    """Steps one of which ends the process as `kill -9` does."""

    def execute(self, step: Step, order: Order) -> Sequence[Event]:
        """Execute a step, unless it is the one to die at."""
        deadly = step == sys.argv[1]
        if deadly and sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        events = super().execute(step, order)
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return events


if __name__ == "__main__":
    orders.SagaSteps = DyingSteps  # type: ignore[misc]
    orders.serve(orders.read_config())
