"""The outbox of a service that keeps its data in PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import sqlalchemy as sa
from typing_extensions import override

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox
from services.common.storage.postgres import transaction

OUTBOX_LOCK = 7_262_002
"""The key of the advisory lock that a relay holds while it publishes; it must be unique."""


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Define the table of events that wait to be published, in the order of `position`."""
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("position", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def add_to_outbox(connection: sa.Connection, outbox: sa.Table, *events: CloudEvent) -> None:
    """Insert events into the outbox, in the caller's transaction."""
    if events:
        connection.execute(sa.insert(outbox), [asdict(event) for event in events])


class PostgresOutbox(Outbox):
    """An outbox in a table of PostgreSQL.

    A relay holds a lock that ends with its transaction, and so with its process. Positions
    of one subject are in order, because a transaction about a subject locks its row.
    """

    def __init__(self, engine: sa.Engine, outbox: sa.Table) -> None:
        self._engine = engine
        self._outbox = outbox

    @override
    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        position = self._outbox.c.position
        with transaction(self._engine) as connection:
            rows: Sequence[sa.Row] = ()
            lock = sa.select(sa.func.pg_try_advisory_xact_lock(OUTBOX_LOCK))
            if connection.execute(lock).scalar_one():
                oldest = sa.select(self._outbox).order_by(position).limit(limit)
                rows = connection.execute(oldest).all()
            yield [_to_event(row) for row in rows]
            if rows:
                taken = position.in_([row.position for row in rows])
                connection.execute(sa.delete(self._outbox).where(taken))


def _to_event(row: sa.Row) -> CloudEvent:
    attributes = dict(row._mapping)
    del attributes["position"]
    return CloudEvent(**attributes | {"data": bytes(row.data)})
