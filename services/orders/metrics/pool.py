"""The pool of connections to MongoDB: its size, and how many a thread uses."""

import threading

from prometheus_client import Gauge
from pymongo import monitoring
from typing_extensions import override

SIZE = Gauge("mamie_mongodb_pool_size", "Connections to MongoDB, at most.")
IN_USE = Gauge("mamie_mongodb_pool_in_use", "Connections to MongoDB that a thread uses.")


class PoolMeter(monitoring.ConnectionPoolListener):
    """Counts the connections of one client that are checked out; the driver calls it."""

    def __init__(self, size: int) -> None:
        SIZE.set(size)
        self._lock = threading.Lock()
        self._in_use = 0
        IN_USE.set_function(lambda: self._in_use)

    @override
    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        with self._lock:
            self._in_use += 1

    @override
    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        with self._lock:
            self._in_use -= 1

    @override
    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Ignore it."""

    @override
    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Ignore it."""

    @override
    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Ignore it."""

    @override
    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Ignore it."""

    @override
    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        """Ignore it."""

    @override
    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        """Ignore it."""

    @override
    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        """Ignore it."""

    @override
    def connection_check_out_started(
        self, event: monitoring.ConnectionCheckOutStartedEvent
    ) -> None:
        """Ignore it."""

    @override
    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        """Ignore it."""
