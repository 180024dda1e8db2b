"""What every process has: its version, its background loops, its dependencies, its pools."""

from collections.abc import Iterator, Sequence
from typing import Protocol
from weakref import WeakSet

from prometheus_client import Gauge

from services.common import background
from services.common.metrics.sampled import SampledGauge

VERSION = "0.1.0"
"""The release, as in setup.cfg; images do not have the package's metadata."""

Series = Iterator[tuple[Sequence[str], float]]

BUILD = Gauge("mamie_build_info", "1; the release is a label.", ("version",))
BUILD.labels(VERSION).set(1)
DEPENDENCY = Gauge(
    "mamie_dependency_healthy",
    "Whether a dependency answered the last check, of each second.",
    ("dependency",),
)


class Pool(Protocol):
    """A pool of connections, as SQLAlchemy's QueuePool."""

    def size(self) -> int:
        """Return how many connections it keeps, at most."""

    def checkedout(self) -> int:
        """Return how many are in use."""


_pools: WeakSet[Pool] = WeakSet()


def measure_pool(pool: Pool) -> None:
    """Let a pool of connections to PostgreSQL be measured, for as long as it lives."""
    _pools.add(pool)


def _worker_health() -> Series:
    for loop in background.report():
        yield (loop.name,), float(loop.healthy)


def _worker_ages() -> Series:
    for loop in background.report():
        yield (loop.name,), loop.age_seconds


def _pool_limits() -> Series:
    yield (), float(sum(pool.size() for pool in list(_pools)))


def _pool_use() -> Series:
    yield (), float(sum(pool.checkedout() for pool in list(_pools)))


SampledGauge(
    "mamie_worker_healthy",
    "Whether a background loop works, as scripts/status says.",
    ("worker",),
    _worker_health,
)
SampledGauge(
    "mamie_worker_last_success_age_seconds",
    "Time since a background loop last succeeded.",
    ("worker",),
    _worker_ages,
)
SampledGauge(
    "mamie_postgres_pool_size",
    "Connections to PostgreSQL that are kept, at most.",
    (),
    _pool_limits,
)
SampledGauge(
    "mamie_postgres_pool_in_use", "Connections to PostgreSQL that a thread uses.", (), _pool_use
)
