"""PostgreSQL connections: engine, transaction, health check, locks and error translation.

No call waits longer than its deadline allows, and none for ever: a server that hangs or
vanishes is noticed by the client, and a client that does so by the server.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from services.common.config import ignore_foreign_environment
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.storage.waiting import BoundedConnection

STATEMENT_TIMEOUT_MS = 3_000
POOL_TIMEOUT_SECONDS = 2.0
SERVER_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    # An instance that hangs, or whose host has vanished, keeps its locks for 10 s.
    "idle_in_transaction_session_timeout": 10_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}
CONNECTION = {
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
UNAVAILABLE_STATES = ("08", "57P", "25006", "25P03")
"""Beginnings of SQLSTATEs: connection exceptions, shutdown, read-only standby, idle too long."""


class DeadlineQueuePool(QueuePool):
    """A pool in which a call waits for a connection until its deadline at most."""

    @property
    def _timeout(self) -> float:
        remaining = current().remaining_seconds()
        return POOL_TIMEOUT_SECONDS if remaining is None else min(POOL_TIMEOUT_SECONDS, remaining)

    @_timeout.setter
    def _timeout(self, _seconds: float) -> None:
        """Ignore the timeout of the constructor."""


def create_engine(
    url: str,
    *,
    pool_size: int = 5,
    connection: type[BoundedConnection] = BoundedConnection,
    **server_settings: int,
) -> sa.Engine:
    """Create an engine; it connects at the first use.

    Statements time out after 3 s, connection attempts after 2 s. `server_settings` replace some
    of SERVER_SETTINGS.
    """
    ignore_foreign_environment()
    return _create_engine(
        sa.make_url(url.replace("postgresql://", "postgresql+psycopg2://", 1)),
        pool_size=pool_size,
        max_overflow=pool_size,
        connection=connection,
        settings=SERVER_SETTINGS | server_settings,
    )


def _create_engine(
    url: sa.URL,
    *,
    pool_size: int,
    max_overflow: int,
    settings: Mapping[str, Any],
    connection: type[BoundedConnection] = BoundedConnection,
) -> sa.Engine:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = sa.create_engine(
        url,
        poolclass=DeadlineQueuePool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            **CONNECTION,
            "options": options,
            "connection_factory": connection,
        },
    )
    sa.event.listen(engine, "before_cursor_execute", _limit_statement, retval=True)
    return engine


def _limit_statement(
    _connection: sa.Connection,
    _cursor: object,
    statement: str,
    parameters: object,
    _context: object,
    _many: bool,
) -> tuple[str, object]:
    """Let a statement end with the current call; it costs no round trip of its own."""
    remaining = current().remaining_seconds()
    if remaining is None or remaining * 1000 >= STATEMENT_TIMEOUT_MS:
        return statement, parameters
    milliseconds = max(1, int(remaining * 1000))
    return f"SET LOCAL statement_timeout = {milliseconds}; {statement}", parameters


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction.

    StoreUnavailableError when the server fails, and when the deadline of the current call is
    over before it begins.
    """
    if current().remaining_seconds() == 0:
        raise StoreUnavailableError
    try:
        with engine.begin() as connection:
            yield connection
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        _remove_values(error)
        raise StoreUnavailableError from error
    except exc.DBAPIError as error:
        _remove_values(error)
        if not str(getattr(error.orig, "pgcode", "")).startswith(UNAVAILABLE_STATES):
            raise
        engine.dispose()  # after a failover the other connections are as useless
        raise StoreUnavailableError from error


def _remove_values(error: exc.SQLAlchemyError) -> None:
    """Keep the first line of a driver's error alone: the following ones repeat values of rows."""
    for each in (error, getattr(error, "orig", None)):
        if each is not None and each.args:
            each.args = (str(each.args[0]).partition("\n")[0],)


def ping(engine: sa.Engine) -> None:
    """Raise StoreUnavailableError when the store cannot be used.

    The connection is one of its own: a busy pool is not an unavailable store.
    """
    with transaction(_health_engine(engine.url)) as connection:
        connection.execute(sa.text("SELECT 1"))


@cache
def _health_engine(url: sa.URL) -> sa.Engine:
    settings = SERVER_SETTINGS | {"statement_timeout": 1_000}
    return _create_engine(url, pool_size=1, max_overflow=0, settings=settings)


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
