"""Background loops: the one way to do something beside the calls, until the process stops.

A loop ends because it is stopped, and for no other reason. Whatever is raised is logged and
tried again after a delay that grows. Every loop knows when it last succeeded and what its
trouble is: `report` says so for all loops of the process, and `require_alive` ends a process
in which the thread of one has died, so that it is restarted.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import structlog

from services.common.errors import UnavailableError

MIN_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 5.0
STALE_SECONDS = 30.0
"""After this time without a success, a loop that reports nothing is taken to hang."""
EXIT_STATUS = 70
EXPECTED_ERRORS = (UnavailableError, OSError)
"""What is raised while a dependency is unavailable: it is logged without a traceback."""

log = structlog.get_logger()


class DeadLoopError(Exception):
    """The thread of a loop has ended although nobody stopped it."""


@dataclass(frozen=True)
class LoopReport:
    """The state of one loop: `text` is for people; the age is that of its last success."""

    name: str
    healthy: bool
    text: str
    age_seconds: float = 0.0


class BackgroundLoop:
    """Calls `work` in a thread of its own, again and again, until it is stopped.

    `work` gets the loop. It may do one round and return, or go on until `stopping`; it calls
    `succeeded` after each success. `stale_seconds` is how long a success may take. `status` says
    more about the work in reports, or nothing.
    """

    def __init__(
        self,
        *,
        name: str,
        work: Callable[["BackgroundLoop"], object],
        expected: tuple[type[Exception], ...] = EXPECTED_ERRORS,
        stale_seconds: float = STALE_SECONDS,
        min_delay_seconds: float = MIN_DELAY_SECONDS,
        status: Callable[[], str] = str,
    ) -> None:
        self.name = name
        self._status = status
        self._work = work
        self._expected = expected
        self._stale_seconds = stale_seconds
        self._min_delay_seconds = min_delay_seconds
        self._stopping = threading.Event()
        self._last_success = time.monotonic()
        self._trouble = ""
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        _running[id(self)] = self
        self._thread.start()

    def stop(self) -> None:
        """End the loop after the work in hand, and wait for that."""
        self.request_stop()
        if self._thread.is_alive():
            self._thread.join()

    def request_stop(self) -> None:
        """End the loop after the work in hand."""
        self._stopping.set()
        _running.pop(id(self), None)

    @property
    def stopping(self) -> bool:
        """Whether the loop is to end."""
        return self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait, less when the loop is stopped; return whether it is."""
        return self._stopping.wait(seconds)

    def succeeded(self) -> None:
        """Record a success: the trouble is over, and the next delay is short again."""
        self._last_success, self._trouble, self._failures = time.monotonic(), "", 0

    def failing(self, trouble: str) -> None:
        """Record what keeps the work from succeeding, while it goes on."""
        self._trouble = trouble

    def report(self) -> LoopReport:
        """Return the state of the loop now."""
        age = time.monotonic() - self._last_success
        if not self.is_alive:
            return LoopReport(self.name, False, "its thread has ended", age)
        if self._trouble:
            text = f"failing for {age:.0f} s: {self._trouble}"
            return LoopReport(self.name, False, text, age)
        if age > self._stale_seconds:
            return LoopReport(self.name, False, f"no success for {age:.0f} s", age)
        status = self._status()
        text = f"ok {age:.0f} s ago{status and f' ({status})'}"
        return LoopReport(self.name, True, text, age)

    def _run(self) -> None:
        while not self.stopping:
            try:
                self._work(self)
            except Exception as error:  # noqa: BLE001 - a loop ends because it is stopped
                self._back_off(error)

    def _back_off(self, error: Exception) -> None:
        """Log an error and wait before the next attempt."""
        longest = min(MAX_DELAY_SECONDS, self._min_delay_seconds * 2 ** min(self._failures, 10))
        self._failures += 1
        kind = type(error).__name__
        # A long outage is one line at first, then fewer and fewer.
        if kind != self._trouble or self._failures.bit_count() == 1:
            expected = isinstance(error, self._expected)
            log.warning("worker_failed", worker=self.name, error=repr(error), exc_info=not expected)
        self.failing(kind)
        self.wait(random.uniform(longest / 2, longest))  # noqa: S311 - spreads the attempts


class PeriodicWorker:
    """Calls `work` every `interval_seconds` in a thread of its own.

    An exception of `work` is logged and does not stop the worker. `status` is as of BackgroundLoop.
    """

    def __init__(
        self,
        *,
        name: str,
        work: Callable[[], object],
        interval_seconds: float,
        status: Callable[[], str] = str,
    ) -> None:
        self._work = work
        self._interval_seconds = interval_seconds
        self._loop = BackgroundLoop(
            name=name,
            work=self._run,
            stale_seconds=2 * interval_seconds + STALE_SECONDS,
            min_delay_seconds=min(0.5, interval_seconds),
            status=status,
        )

    def start(self) -> None:
        """Start; the first call is after one interval."""
        self._loop.start()

    def stop(self) -> None:
        """Stop, and wait for the end of a running call."""
        self._loop.stop()

    def _run(self, loop: BackgroundLoop) -> None:
        while not loop.wait(self._interval_seconds):
            self._work()
            loop.succeeded()


_running: dict[int, BackgroundLoop] = {}
"""The loops of this process that were started and not stopped."""


def report() -> Sequence[LoopReport]:
    """Return the state of all loops of this process that run, by name."""
    return sorted((loop.report() for loop in list(_running.values())), key=lambda each: each.name)


def require_alive() -> None:
    """Raise DeadLoopError when the thread of a loop has ended although nobody stopped it."""
    for loop in list(_running.values()):
        if not loop.is_alive:
            raise DeadLoopError(loop.name)


def end_process(error: DeadLoopError) -> NoReturn:
    """End the process with a non-zero status; what restarts processes starts it again.

    At once: an orderly exit would wait for other threads, which may hang.
    """
    log.critical("worker_died", worker=str(error))
    sys.stdout.flush()
    os._exit(EXIT_STATUS)
