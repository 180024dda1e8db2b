"""Helpers to read and write the graph."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from zlib import crc32

import neo4j

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUCKETS = 10_000

MIN_TIMEOUT_SECONDS = 0.001
"""A socket's timeout of zero would mean not to wait at all."""

Row = Mapping[str, Any]


class Transaction:
    """A transaction of the driver in which no answer is awaited beyond a deadline.

    `deadline` is on the clock of `time.monotonic()`.
    """

    def __init__(self, managed: neo4j.ManagedTransaction, deadline: float) -> None:
        self._managed = managed
        self._deadline = deadline

    def run(self, statement: LiteralString, parameters: Mapping[str, Any]) -> neo4j.Result:
        """Send a statement; its result is read from the server as it is iterated."""
        self.limit_wait()
        return self._managed.run(statement, dict(parameters))

    def limit_wait(self) -> None:
        """Let the connection wait until the deadline; the driver has no setting for it."""
        left = max(MIN_TIMEOUT_SECONDS, self._deadline - time.monotonic())
        self._managed._connection.socket.set_read_timeout(left)


def run(tx: Transaction, statement: str, **parameters: Any) -> None:
    """Run a statement without a result."""
    rows(tx, statement, **parameters)


def rows(tx: Transaction, statement: str, **parameters: Any) -> list[neo4j.Record]:
    """Run a statement and return all rows of its result."""
    return list(tx.run(statement, parameters))


def bucket(user_id: str) -> int:
    """Return a customer's bucket, which decides whether a sample includes them."""
    return crc32(user_id.encode()) % BUCKETS


def bucket_bound(wanted: int, total: int) -> int:
    """Return the bound that the buckets of about `wanted` of `total` customers are below."""
    return min(BUCKETS, math.ceil(BUCKETS * wanted / max(1, total)))


def to_micros(moment: datetime) -> int:
    """Convert a moment into microseconds since 1970, as the graph stores it."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Convert microseconds since 1970 into a moment."""
    return EPOCH + timedelta(microseconds=micros)
