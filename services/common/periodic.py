"""A periodic background task of a service."""

from collections.abc import Callable

from services.common.background import STALE_SECONDS, BackgroundLoop


class PeriodicWorker:
    """Calls `work` every `interval_seconds` in a thread of its own.

    An exception of `work` is logged and does not stop the worker.
    """

    def __init__(self, *, name: str, work: Callable[[], object], interval_seconds: float) -> None:
        self._work = work
        self._interval_seconds = interval_seconds
        self._loop = BackgroundLoop(
            name=name,
            work=self._run,
            stale_seconds=2 * interval_seconds + STALE_SECONDS,
            min_delay_seconds=min(0.5, interval_seconds),
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
