"""Waiting for PostgreSQL with a limit of the client's own.

`statement_timeout` is the server's: a server that hangs keeps a client for ever, for the
kernel acknowledges in its place. psycopg2 has no timeout, but a hook of the process that waits
for a connection; this one gives up after a while, which closes the connection.
"""

import select
import time

import psycopg2
from psycopg2 import extensions

from services.common.context import current

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 4.0
"""More than the statement timeout: a server that answers says itself that it gave up."""
GRACE_SECONDS = 0.5


class NoAnswerError(psycopg2.OperationalError):
    """The server did not answer in time; what it was asked may be done or not."""


class BoundedConnection(extensions.connection):
    """A connection on which no statement waits longer than `answer_seconds`, None for ever."""

    answer_seconds: float | None = ANSWER_SECONDS


class PatientConnection(BoundedConnection):
    """A connection for statements that may take long, as those of migrations."""

    answer_seconds = None


def _limit(connection: extensions.connection) -> float | None:
    """Return how long to wait, in seconds; None for connections that are not of ours."""
    if not isinstance(connection, BoundedConnection):
        return None
    if connection.status == extensions.STATUS_SETUP:
        return CONNECT_SECONDS
    remaining = current().remaining_seconds()
    if connection.answer_seconds is None or remaining is None:
        return connection.answer_seconds
    return min(connection.answer_seconds, remaining + GRACE_SECONDS)


def wait(connection: extensions.connection) -> None:
    """Wait until a connection has its answer; NoAnswerError after the limit."""
    limit = _limit(connection)
    deadline = None if limit is None else time.monotonic() + limit
    while (state := connection.poll()) != extensions.POLL_OK:
        poller = select.poll()
        events = select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
        poller.register(connection.fileno(), events)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poller.poll(left):
            raise NoAnswerError("the server did not answer in time")


extensions.set_wait_callback(wait)
