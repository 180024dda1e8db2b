"""PostgreSQL connections: engine, transaction, health check, locks and error translation."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.errors import StoreUnavailableError

STATEMENT_TIMEOUT_MS = 3_000


def create_engine(url: str, *, pool_size: int = 5) -> sa.Engine:
    """Create an engine; it connects at the first use.

    Statements time out after 3 s, connection attempts after 2 s.
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
    """Yield a connection in a transaction; StoreUnavailableError when the server fails."""
    try:
        with engine.begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailableError from error


def ping(engine: sa.Engine) -> None:
    """Raise StoreUnavailableError when the store cannot be used."""
    with transaction(engine) as connection:
        connection.execute(sa.text("SELECT 1"))


def lock(connection: sa.Connection, name: str) -> None:
    """Serialize the transactions about `name`, even before it has a row, until this one ends."""
    key = sa.func.hashtextextended(name, 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def is_uuid(name: str) -> bool:
    """Check whether a name is a UUID in its canonical form; UUID() takes more spellings."""
    try:
        return str(UUID(name)) == name.lower()
    except ValueError:
        return False
