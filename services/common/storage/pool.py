"""The pool of PostgreSQL connections: how long a call waits for one, and whether it is alive."""

import select
import time

from sqlalchemy import exc
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from services.common.context import current
from services.common.storage.waiting import BoundedConnection

POOL_TIMEOUT_SECONDS = 2.0
MAX_IDLE_SECONDS = 30.0
"""A connection that was idle for longer is pinged before it is used."""
IDLE_SINCE = "mamie_idle_since"


class DeadlineQueuePool(QueuePool):
    """A pool in which a call waits for a connection until its deadline at most."""

    @property
    def _timeout(self) -> float:
        remaining = current().remaining_seconds()
        return POOL_TIMEOUT_SECONDS if remaining is None else min(POOL_TIMEOUT_SECONDS, remaining)

    @_timeout.setter
    def _timeout(self, _seconds: float) -> None:
        """Ignore the timeout of the constructor."""


def record_checkin(_connection: object, record: ConnectionPoolEntry) -> None:
    """Record since when a connection is idle; a listener of the pool."""
    record.info[IDLE_SINCE] = time.monotonic()


def check_connection(
    connection: BoundedConnection, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Replace a lost connection before it is used, and all that are as old; a listener.

    A ping at each use would double the round trips. A server that ends a session says so, which
    one looks for costs nothing; what vanished without a word is found by a ping after a while.
    """
    idle_since = record.info.get(IDLE_SINCE)
    if idle_since is None:  # it is new
        return
    try:
        if time.monotonic() - idle_since > MAX_IDLE_SECONDS or _has_input(connection):
            _ping(connection)
    except connection.Error as error:
        raise exc.InvalidatePoolError from error


def _has_input(connection: BoundedConnection) -> bool:
    """Return whether the server has sent something that nobody asked for, or hung up."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def _ping(connection: BoundedConnection) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.autocommit = False
