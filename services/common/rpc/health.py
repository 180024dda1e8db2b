"""Health that reflects the dependencies of a service.

A monitor checks each dependency every second and publishes the result through
grpc.health.v1, under the name of every service of the server and under "". Health checks are
answered by threads of their own, so that a busy server is not taken for a dead one.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Protocol

import grpc
import structlog
from grpc_health.v1 import health, health_pb2
from typing_extensions import override

from services.common.background import BackgroundLoop
from services.common.metrics.process import DEPENDENCY

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Check = Callable[[], None]
"""Raises when the dependency is unavailable; must return or raise within seconds."""

log = structlog.get_logger()


class IsolatedHealthServicer(health.HealthServicer):
    """Answers health checks with a thread pool of its own, also when the server is busy."""

    @override
    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        return super().Check(request, context)

    # grpcio runs a behavior that has this attribute on that pool instead of the server's.
    Check.experimental_thread_pool = ThreadPoolExecutor(2, "health")  # type: ignore[attr-defined]


class HealthPublisher(Protocol):
    """Publishes states through grpc.health.v1, as grpcio's HealthServicer does."""

    def set(self, service: str, status: Any, /) -> None:
        """Publish the state of a service."""

    def enter_graceful_shutdown(self) -> None:
        """Publish NOT_SERVING from now on."""


class HealthMonitor:
    """Publishes NOT_SERVING while any of `checks` raises, else SERVING.

    `names` are the full names of the services of the server. Each of `details` is published
    under its own name alone: it says more about the process, but does not decide whether it
    can serve.
    """

    def __init__(
        self,
        *,
        servicer: HealthPublisher,
        names: Sequence[str],
        checks: Mapping[str, Check],
        details: Mapping[str, Check] = MappingProxyType({}),
        interval_seconds: float = 1.0,
    ) -> None:
        self._servicer = servicer
        self._names = ("", *names)
        self._checks = checks
        self._details = details
        self._interval_seconds = interval_seconds
        self._failing: set[str] = set()
        self._loop = BackgroundLoop(name="health-monitor", work=self._run)

    def start(self) -> None:
        """Check once, then periodically in the background."""
        self.check_once()
        self._loop.start()

    def drain(self) -> None:
        """Publish NOT_SERVING from now on."""
        self._loop.request_stop()
        self._servicer.enter_graceful_shutdown()

    def check_once(self) -> None:
        """Check every dependency and publish the result."""
        failing = {name for name, check in self._checks.items() if not _passes(name, check)}
        for name in self._checks:
            DEPENDENCY.labels(name).set(name not in failing)
        if failing != self._failing:
            log.warning("health_changed", failing=sorted(failing))
        self._failing = failing
        for name in self._names:
            self._servicer.set(name, NOT_SERVING if failing else SERVING)
        for name, check in self._details.items():
            self._servicer.set(name, SERVING if _passes(name, check) else NOT_SERVING)

    def _run(self, loop: BackgroundLoop) -> None:
        while not loop.wait(self._interval_seconds):
            self.check_once()
            loop.succeeded()


def _passes(name: str, check: Check) -> bool:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - any exception means unavailable
        log.debug("dependency_failed", dependency=name, error=repr(error))
        return False
    return True
