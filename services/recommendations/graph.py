"""Helpers to read and write the graph."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import neo4j

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUCKETS = 10_000

Transaction = neo4j.ManagedTransaction
Row = Mapping[str, Any]


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
