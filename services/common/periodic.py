"""A periodic background task of a service."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class PeriodicWorker:
    """Calls `work` every `interval_seconds` in a thread of its own.

    An exception of `work` is logged and does not stop the worker.
    """

    def __init__(self, *, name: str, work: Callable[[], object], interval_seconds: float) -> None:
        self._name = name
        self._work = work
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start; the first call is after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the end of a running call."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self._work()
            except Exception:
                log.exception("periodic_work_failed", worker=self._name)
