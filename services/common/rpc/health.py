"""Health that tells the truth about the things a service cannot work without.

A monitor asks each dependency every second or so and publishes the answer through
grpc.health.v1, under the name of every service on the server and under "". Checks are
answered on threads of their own, so a busy server is not taken for a dead one.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from grpc_health.v1 import health, health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Check = Callable[[], None]
"""Raises when the dependency cannot be used; must give up by itself within seconds."""

log = structlog.get_logger()


class IsolatedHealthServicer(health.HealthServicer):
    """Answers health checks on a pool of its own, whatever the server is busy with."""

    def Check(self, request, context):
        """Return the published state of a service."""
        return super().Check(request, context)

    # grpcio runs a behaviour that has this attribute on that pool instead of the server's.
    Check.experimental_thread_pool = ThreadPoolExecutor(2, "health")  # type: ignore[attr-defined]


class HealthMonitor:
    """Publishes NOT_SERVING while any of `checks` raises, else SERVING.

    `names` are the full names of the services on the server.
    """

    def __init__(
        self,
        *,
        servicer: health.HealthServicer,
        names: Sequence[str],
        checks: Mapping[str, Check],
        interval_seconds: float = 1.0,
    ) -> None:
        self._servicer = servicer
        self._names = ("", *names)
        self._checks = checks
        self._interval_seconds = interval_seconds
        self._failing: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health-monitor", daemon=True)

    def start(self) -> None:
        """Check once, publish, and go on checking in the background."""
        self.check_once()
        self._thread.start()

    def drain(self) -> None:
        """Publish NOT_SERVING for good."""
        self._stopping.set()
        self._servicer.enter_graceful_shutdown()

    def check_once(self) -> None:
        """Ask every dependency and publish what follows."""
        failing = {name for name, check in self._checks.items() if not _passes(name, check)}
        if failing != self._failing:
            log.warning("health_changed", failing=sorted(failing))
        self._failing = failing
        for name in self._names:
            self._servicer.set(name, NOT_SERVING if failing else SERVING)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self.check_once()


def _passes(name: str, check: Check) -> bool:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not usable
        log.debug("dependency_failed", dependency=name, error=repr(error))
        return False
    return True
