"""Small things that reading and writing the graph share."""

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


def run(tx: Transaction, statement: str, **facts: Any) -> None:
    """Run a statement that answers nothing."""
    rows(tx, statement, **facts)


def rows(tx: Transaction, statement: str, **facts: Any) -> list[neo4j.Record]:
    """Run a statement and return all that it answers."""
    return list(tx.run(statement, facts))


def bucket(user_id: str) -> int:
    """Return the number by which a client is in a sample or not."""
    return crc32(user_id.encode()) % BUCKETS


def below(wanted: int, present: int) -> int:
    """Return the bound below which about `wanted` of `present` clients have their buckets."""
    return min(BUCKETS, math.ceil(BUCKETS * wanted / max(1, present)))


def to_micros(moment: datetime) -> int:
    """Return a moment as the graph keeps it: microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return a moment that the graph keeps."""
    return EPOCH + timedelta(microseconds=micros)
