"""The outbox of a service that keeps its data in PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.common.clock import new_id
from services.common.errors import StoreUnavailableError
from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox, wake_relays
from services.common.storage.postgres import after_commit, read, transaction

LEASE_SECONDS = 5
LEASE = "outbox"
lease = sa.Table(
    "leases",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
)
_UPDATE = sa.update(lease).where(lease.c.name == LEASE)
_NOW = sa.func.clock_timestamp()
ACQUIRE_LEASE = _UPDATE.where(lease.c.until < _NOW).values(
    holder=sa.bindparam("relay"), until=_NOW + timedelta(seconds=LEASE_SECONDS)
)
END_LEASE = _UPDATE.where(lease.c.holder == sa.bindparam("relay")).values(until=sa.func.now())


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
    """Insert events into the outbox, in the caller's transaction; its end wakes the relay."""
    if events:
        connection.execute(outbox.insert(), [asdict(event) for event in events])
        after_commit(connection, wake_relays)


def create_lease(connection: sa.Connection) -> None:
    """Create the lease of the relays, in a store that has an outbox; for migrations."""
    if sa.inspect(connection).has_table("outbox"):
        lease.create(connection, checkfirst=True)
        row = postgresql.insert(lease).values(name=LEASE, holder="", until=sa.func.now())
        connection.execute(row.on_conflict_do_nothing())


class PostgresOutbox(Outbox):
    """An outbox in a table of PostgreSQL.

    A relay holds a lease while it publishes, and no transaction: one that hangs keeps the
    events for LEASE_SECONDS, by the server's clock. Positions of one subject are in order,
    because a transaction about a subject locks its row.
    """

    def __init__(self, engine: sa.Engine, outbox: sa.Table) -> None:
        position = outbox.c.position
        self._engine = engine
        self._any = sa.select(position).limit(1)
        self._oldest = sa.select(outbox).order_by(position).limit(sa.bindparam("limit"))
        positions = sa.bindparam("positions", type_=postgresql.ARRAY(sa.BigInteger))
        self._delete = sa.delete(outbox).where(position == sa.any_(positions))

    @override
    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        holder = new_id()
        rows = self._take(holder, limit)
        try:
            yield [_to_event(row) for row in rows]
        except BaseException:
            if rows:
                with suppress(StoreUnavailableError):
                    self._release(holder, [])
            raise
        if rows:
            self._release(holder, [row.position for row in rows])

    def _take(self, holder: str, limit: int) -> Sequence[sa.Row]:
        if read(self._engine, self._any):
            with transaction(self._engine) as connection:
                if connection.execute(ACQUIRE_LEASE, {"relay": holder}).rowcount:
                    return connection.execute(self._oldest, {"limit": limit}).all()
        return ()

    def _release(self, holder: str, published: Sequence[int]) -> None:
        """Delete what was published, and end the lease unless another relay has it already."""
        with transaction(self._engine) as connection:
            connection.execute(self._delete, {"positions": published})
            connection.execute(END_LEASE, {"relay": holder})


def _to_event(row: sa.Row) -> CloudEvent:
    attributes = dict(row._mapping)
    del attributes["position"]
    return CloudEvent(**attributes | {"data": bytes(row.data)})
