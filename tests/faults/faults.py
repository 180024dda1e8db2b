"""Takes parts of the stack away for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from scripts.stack.client import Stack
from tests.support.waiting import eventually


@contextmanager
def down(stack: Stack, *units: str) -> Iterator[None]:
    """Kill some units and keep them down inside the block; after it they are ready again."""
    for unit in units:
        stack.hold(unit)
        stack.kill(unit)
    try:
        for unit in units:
            eventually(partial(_is, stack, unit, "crashed"))
        yield
    finally:
        for unit in units:
            stack.resume(unit)
        for unit in units:
            eventually(partial(_is, stack, unit, "ready"), seconds=30)


def _is(stack: Stack, unit: str, state: str) -> bool:
    return stack.unit(unit)["state"] == state
