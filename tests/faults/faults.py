"""Faults: what goes wrong with a running stack, each a function or a context manager.

They know nothing of what runs meanwhile (workloads.py) nor of what must hold (checkers.py).
A part is named by its unit ("catalog-2", "rabbitmq"), or by its service, which is all of the
service's instances.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import psutil
import sqlalchemy as sa

from services.common.storage import postgres
from tests.support.running_stack import RunningStack
from tests.support.waiting import eventually

READY_SECONDS = 90
INSTANCE = re.compile(r"-\d+$")
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :service"


def units_of(stack: RunningStack, *parts: str) -> list[str]:
    """Return the units of some parts: a service's instances, or the unit of that name."""
    return [
        unit
        for part in parts
        for unit in ((not INSTANCE.search(part) and stack.instances(part)) or [part])
    ]


def await_ready(stack: RunningStack, *parts: str) -> None:
    """Return when some parts are ready."""
    for unit in units_of(stack, *parts):
        eventually(partial(_has_state, stack, unit, "ready"), seconds=READY_SECONDS)


def _has_state(stack: RunningStack, unit: str, state: str) -> bool:
    return bool(stack.unit(unit)["state"] == state)


def kill(stack: RunningStack, *parts: str) -> None:
    """Kill some parts with SIGKILL; the stack restarts them."""
    for unit in units_of(stack, *parts):
        stack.kill(unit)


@contextmanager
def down(stack: RunningStack, *parts: str) -> Iterator[None]:
    """Kill some parts and keep them down inside the block; after it they are ready again."""
    units = units_of(stack, *parts)
    for unit in units:
        stack.hold(unit)
        stack.kill(unit)
    try:
        for unit in units:
            eventually(partial(_has_state, stack, unit, "crashed"))
        yield
    finally:
        for unit in units:
            stack.resume(unit)
        await_ready(stack, *units)


@contextmanager
def frozen(stack: RunningStack, *parts: str) -> Iterator[None]:
    """Freeze some parts (SIGSTOP) inside the block: connections stay open, no answer comes.

    After the block they go on (SIGCONT) and are ready again.
    """
    units = units_of(stack, *parts)
    suspended: list[psutil.Process] = []
    try:
        for unit in units:
            suspended += _suspend(psutil.Process(stack.unit(unit)["pid"]))
        yield
    finally:
        for process in suspended:
            with suppress(psutil.NoSuchProcess):  # killed while it was frozen
                process.resume()
        await_ready(stack, *units)


def _suspend(process: psutil.Process) -> list[psutil.Process]:
    """Suspend a process before its children: it starts no other meanwhile."""
    process.suspend()
    return [process, *(each for child in process.children() for each in _suspend(child))]


@contextmanager
def killing(
    stack: RunningStack, rounds: Iterable[Sequence[str]], *, every_seconds: float = 2
) -> Iterator[list[Sequence[str]]]:
    """Kill the parts of one round after the other; yield the growing list of rounds so far."""
    stopping = threading.Event()
    killed: list[Sequence[str]] = []

    def kill_all() -> None:
        for parts in rounds:
            if stopping.wait(every_seconds):
                return
            kill(stack, *parts)
            killed.append(parts)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        yield killed
    finally:
        stopping.set()
        killer.join()


@contextmanager
def faulty_constraint(store: sa.Engine, table: str, condition: str) -> Iterator[None]:
    """Let a store reject new rows that break a condition, as after a faulty migration."""
    name = "faulty_constraint"
    check = f"CHECK ({condition}) NOT VALID"
    _run(store, f"ALTER TABLE {table} ADD CONSTRAINT {name} {check}")
    try:
        yield
    finally:
        _run(store, f"ALTER TABLE {table} DROP CONSTRAINT {name}")


@contextmanager
def read_only(stack: RunningStack, service: str) -> Iterator[None]:
    """Let the PostgreSQL store of a service reject writes, as a standby does after a failover.

    Sessions that begin inside the block stay read-only after it, too.
    """
    database = f"ALTER DATABASE {service}"
    server = postgres.create_engine(stack.server_url("postgres"), pool_size=1)
    try:
        _run(server, f"{database} SET default_transaction_read_only = on")
        _run(server, END_SESSIONS, service=service)
        yield
    finally:
        _run(server, f"{database} RESET default_transaction_read_only")
        server.dispose()


def _run(store: sa.Engine, statement: str, **values: str) -> None:
    with store.begin() as connection:
        connection.execute(sa.text(statement), values)
