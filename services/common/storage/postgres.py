"""PostgreSQL connections: engine, transaction, health check, locks and error translation.

No call waits longer than its deadline allows, and none for ever: a server that hangs or
vanishes is noticed by the client, and a client that does so by the server.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.config import ignore_foreign_environment
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.metrics.process import measure_pool
from services.common.storage.pool import DeadlineQueuePool, check_connection, record_checkin
from services.common.storage.waiting import BoundedConnection, NoAnswerError
from services.common.tracing import spans
from services.common.tracing.stores import begin_statement

STATEMENT_TIMEOUT_MS = 3_000
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


SPAN = "mamie_span"
AFTER_COMMIT = "mamie_after_commit"
LOCKED_NAME = "mamie_locked_name"
SELECT_ONE = sa.text("SELECT 1")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(CAST({name} AS text), 0))"
LOCK = sa.text(_LOCK.format(name=":name"))
Statement = TypeVar("Statement", bound=sa.Executable)


def create_engine(
    url: str,
    *,
    pool_size: int = 5,
    connection: type[BoundedConnection] = BoundedConnection,
    **server_settings: int,
) -> sa.Engine:
    """Create an engine; it connects at the first use, and has at most `pool_size` connections.

    A service has as many as worker threads: a thread uses one at a time, and none has to wait.
    Statements time out after 3 s, connection attempts after 2 s. `server_settings` replace some
    of SERVER_SETTINGS.
    """
    ignore_foreign_environment()
    return _create_engine(
        sa.make_url(url.replace("postgresql://", "postgresql+psycopg2://", 1)),
        pool_size=pool_size,
        connection=connection,
        settings=SERVER_SETTINGS | server_settings,
    )


def _create_engine(
    url: sa.URL,
    *,
    pool_size: int,
    settings: Mapping[str, Any],
    connection: type[BoundedConnection] = BoundedConnection,
) -> sa.Engine:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = sa.create_engine(
        url,
        poolclass=DeadlineQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            **CONNECTION,
            "options": options,
            "connection_factory": connection,
        },
    )
    measure_pool(cast(DeadlineQueuePool, engine.pool))
    sa.event.listen(engine, "before_cursor_execute", _extend_statement, retval=True)
    sa.event.listen(engine, "after_cursor_execute", _end_span)
    sa.event.listen(engine, "handle_error", _end_failed_span)
    sa.event.listen(engine, "checkin", record_checkin)
    sa.event.listen(engine, "checkout", check_connection)
    return engine


def _extend_statement(
    connection: sa.Connection,
    _cursor: object,
    statement: str,
    parameters: object,
    context: sa.ExecutionContext,
    _many: bool,
) -> tuple[str, object]:
    """Let a statement end with the current call, and take its lock; at no round trip more.

    Also outside of a transaction: statements that are sent together are one.
    """
    if spans.is_recording():
        connection.info[SPAN] = begin_statement("postgresql", statement)
    if locked := context.execution_options.get(LOCKED_NAME):
        statement = f"{_LOCK.format(name=f'%({locked})s')}; {statement}"
    remaining = current().remaining_seconds()
    if remaining is None or remaining * 1000 >= STATEMENT_TIMEOUT_MS:
        return statement, parameters
    milliseconds = max(1, int(remaining * 1000))
    return f"SET LOCAL statement_timeout = {milliseconds}; {statement}", parameters


def _end_span(connection: sa.Connection, *_: object) -> None:
    if SPAN in connection.info:
        connection.info.pop(SPAN).end()


def _end_failed_span(context: sa.ExceptionContext) -> None:
    info = context.connection.info if context.connection is not None else {}
    if SPAN in info:
        info.pop(SPAN).end(type(context.original_exception).__name__)


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction.

    StoreUnavailableError when the server fails, and when the deadline of the current call is
    over before it begins.
    """
    callbacks: list[Callable[[], None]] = []
    with _translating_errors(engine), engine.begin() as connection:
        connection.info[AFTER_COMMIT] = callbacks
        yield connection
    for callback in callbacks:
        callback()


def after_commit(connection: sa.Connection, callback: Callable[[], None]) -> None:
    """Call back when the current transaction is committed; not when it is rolled back."""
    connection.info[AFTER_COMMIT].append(callback)


@contextmanager
def autocommit(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection on which each statement is a transaction of its own.

    Without BEGIN and COMMIT a statement costs one round trip instead of three. Errors are those
    of `transaction`.
    """
    with _translating_errors(engine), engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        # The driver's flag costs nothing. SQLAlchemy's isolation level AUTOCOMMIT costs more than
        # a transaction when it changes, or else a second engine with as many connections.
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


def read(
    engine: sa.Engine, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
) -> Sequence[sa.Row[Any]]:
    """Return the rows of a statement that changes nothing, in one round trip.

    It is repeated once when the connection turns out to be lost. StoreUnavailableError.
    """
    try:
        return _read(engine, statement, parameters)
    except StoreUnavailableError as error:
        if not _is_lost_connection(error.__cause__):
            raise
    return _read(engine, statement, parameters)


def _read(
    engine: sa.Engine, statement: sa.Executable, parameters: Mapping[str, Any] | None
) -> Sequence[sa.Row[Any]]:
    with autocommit(engine) as connection:
        return connection.execute(statement, parameters).all()


def _is_lost_connection(error: BaseException | None) -> bool:
    """Return whether a connection was lost, other than by waiting for an answer in vain."""
    if not isinstance(error, exc.DBAPIError):
        return False
    return error.connection_invalidated and not isinstance(error.orig, NoAnswerError)


@contextmanager
def _translating_errors(engine: sa.Engine) -> Iterator[None]:
    if current().remaining_seconds() == 0:
        raise StoreUnavailableError
    try:
        yield
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
    read(_health_engine(engine.url), SELECT_ONE)


@cache
def _health_engine(url: sa.URL) -> sa.Engine:
    settings = SERVER_SETTINGS | {"statement_timeout": 1_000}
    return _create_engine(url, pool_size=1, settings=settings)


def lock(connection: sa.Connection, name: str) -> None:
    """Serialize the transactions about `name`, even before it has a row, until this one ends."""
    connection.execute(LOCK, {"name": name})


def under_lock(name: str, statement: Statement) -> Statement:
    """Let a statement first take the lock of what its parameter `name` is, as `lock` does.

    Both are sent together: one round trip, and the statement sees what was committed while the
    lock was waited for. (As one statement, it would not.)
    """
    return statement.execution_options(**{LOCKED_NAME: name})


def is_uuid(name: str) -> bool:
    """Check whether a name is a UUID in its canonical form; UUID() takes more spellings."""
    try:
        return str(UUID(name)) == name.lower()
    except ValueError:
        return False
