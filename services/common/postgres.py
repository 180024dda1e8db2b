"""PostgreSQL, as every service that uses it does: engine, errors, outbox, migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import exc

from services.common.errors import StoreUnavailableError
from services.common.events import CloudEvent

STATEMENT_TIMEOUT_MS = 3_000
MIGRATION_LOCK = 7_262_001
"""Any number that nobody else uses: the advisory lock that migrations hold."""


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


def migrate(*, url: str, directory: Path) -> None:
    """Bring the schema up to date; several processes may do so at once."""
    engine = create_engine(url, pool_size=1)
    with engine.begin() as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        config = Config()
        config.set_main_option("script_location", str(directory))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
