"""PostgreSQL, as every service that uses it does: engine, errors, outbox, migrations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import exc

from services.common.errors import StoreUnavailableError
from services.common.messaging.events import CloudEvent

STATEMENT_TIMEOUT_MS = 3_000
MIGRATION_LOCK = 7_262_001
"""Any number that nobody else uses: the advisory lock that migrations hold."""
OUTBOX_LOCK = 7_262_002
"""Likewise, for who publishes the outbox."""


def create_engine(url: str, *, pool_size: int = 5) -> sa.Engine:
    """Return an engine; nothing connects yet.

    Statements give up after 3 s, connecting after 2 s.
    """
    return sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=2,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 2,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    )


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection inside one transaction; StoreUnavailableError when there is none."""
    try:
        with engine.begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailableError from error


def ping(engine: sa.Engine) -> None:
    """Raise when the store cannot be used."""
    with transaction(engine) as connection:
        connection.execute(sa.text("SELECT 1"))


def lock(connection: sa.Connection, name: str) -> None:
    """Let transactions about `name` happen one after the other, also before it has a row."""
    key = sa.func.hashtextextended(name, 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def is_uuid(name: str) -> bool:
    """Return whether a name is a UUID in its canonical form; Python takes more spellings."""
    try:
        return str(UUID(name)) == name.lower()
    except ValueError:
        return False


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Return the table of events that wait to be published, in the order of `position`."""
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
    """Write events into the outbox, inside the caller's transaction."""
    if events:
        connection.execute(sa.insert(outbox), [asdict(event) for event in events])


class PostgresOutbox:
    """The outbox of a service that keeps its data in PostgreSQL.

    Whoever takes events holds a lock that ends with the transaction, so with the process.
    Positions of one subject are in order: what writes about a subject holds its row.
    """

    def __init__(self, engine: sa.Engine, outbox: sa.Table) -> None:
        self._engine = engine
        self._outbox = outbox

    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        """Yield the oldest events and drop them at the end; nothing while others take some."""
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


def migrate(*, url: str, directory: Path) -> None:
    """Bring the schema up to date; several processes may do so at once.

    StoreUnavailableError when the store does not answer.
    """
    engine = create_engine(url, pool_size=1)
    config = Config()
    # Options are interpolated: a percent sign in a path has to be doubled.
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    try:
        with transaction(engine) as connection:
            connection.execute(sa.text("SET statement_timeout = 0"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
