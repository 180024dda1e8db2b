"""Instances of orders that die at a chosen step of a saga, beside the stack's own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.extra_instances import ExtraInstance, extra_instance
from tests.support.running_stack import RunningStack

DEATH_SECONDS = 10


@contextmanager
def dying_at(stack: RunningStack, step: str, when: str) -> Iterator[ExtraInstance]:
    """Yield an instance that dies "before" or "after" a step; one that lives on is ended."""
    with extra_instance(stack, "orders", "tests.faults.dying_orders", step, when) as instance:
        yield instance


def await_death(instance: ExtraInstance) -> None:
    """Return when an instance has killed itself."""
    assert instance.process.wait(timeout=DEATH_SECONDS) == -signal.SIGKILL
