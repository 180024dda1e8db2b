"""Helpers of the tests of PostgreSQL: sessions that end, deadlines, and what is unavailable."""

import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.common.storage import postgres


def backend_pid(connection):
    """Return the id of the server's process for a connection."""
    return connection.connection.dbapi_connection.info.backend_pid


def terminate(engine, pid):
    """End a backend process, and return when it has ended."""
    other = postgres.create_engine(engine.url.render_as_string(hide_password=False))
    with other.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()


def within(seconds):
    """Make a call with a deadline the current one."""
    return use(CallContext(deadline=time.monotonic() + seconds))


@contextmanager
def unavailable_within(seconds):
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        yield
    assert time.monotonic() - started < seconds
