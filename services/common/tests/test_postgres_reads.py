"""Single statements on PostgreSQL, and the connections of the pool that they use."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from services.common.errors import StoreUnavailableError
from services.common.storage import pool, postgres
from services.common.tests.sessions import backend_pid, terminate, unavailable_within, within

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(engine):
    """Return the growing list of statements that the engine sends."""
    statements: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def record(_connection, _cursor, statement, *_):
        statements.append(statement)

    return statements


def test_a_session_that_ended_while_it_was_idle_fails_no_write(engine):
    """The server says so; nobody has to ask."""
    with postgres.transaction(engine) as connection:
        pid = backend_pid(connection)
    terminate(engine, pid)
    with postgres.transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE t (i int)"))
        assert backend_pid(connection) != pid
    assert sa.inspect(engine).get_table_names() == ["t"]


def test_a_read_is_repeated_when_its_connection_is_lost(engine, sent):
    with postgres.autocommit(engine) as connection:
        pid = backend_pid(connection)

    @sa.event.listens_for(engine, "before_cursor_execute", once=True)
    def lose_connection(*_):
        terminate(engine, pid)

    assert postgres.read(engine, sa.text("SELECT 7")) == [(7,)]
    assert sent == ["SELECT 7", "SELECT 7"]


def test_a_read_that_fails_is_not_repeated(engine, sent):
    with pytest.raises(StoreUnavailableError):
        postgres.read(engine, sa.text("SET statement_timeout = 50; SELECT pg_sleep(5)"))
    assert len(sent) == 1


def test_a_read_is_one_statement_in_no_transaction(engine, sent):
    postgres.read(engine, sa.text("SELECT 1"))
    assert postgres.read(engine, sa.text("SELECT 2")) == [(2,)]
    assert sent == ["SELECT 1", "SELECT 2"]
    with postgres.autocommit(engine) as connection:
        driver: Any = connection.connection.dbapi_connection
        connection.execute(sa.text("SELECT 1"))
        assert driver.info.transaction_status == TRANSACTION_STATUS_IDLE


def test_a_connection_is_used_for_transactions_again_after_a_read(engine):
    postgres.read(engine, sa.text("SELECT 1"))
    with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE t (i int)"))
        raise ZeroDivisionError
    assert sa.inspect(engine).get_table_names() == []


def test_a_read_ends_with_the_deadline_of_its_call(engine):
    with within(0.3), unavailable_within(2):
        postgres.read(engine, sa.text("SELECT pg_sleep(10)"))
    with within(1):
        postgres.read(engine, sa.text("SELECT 1"))
    assert postgres.read(engine, sa.text("SHOW statement_timeout")) == [("3s",)]


def test_a_connection_that_vanished_without_a_word_is_found_after_a_while(engine, monkeypatch):
    with postgres.transaction(engine) as connection:
        driver: Any = connection.connection.dbapi_connection
        descriptor = driver.fileno()
    monkeypatch.setattr(pool, "MAX_IDLE_SECONDS", 0.0)
    # Silence: what is sent fails, and nothing comes.
    with socket.socket(fileno=os.dup(descriptor)) as peer:
        peer.shutdown(socket.SHUT_WR)
    with postgres.transaction(engine) as connection:
        assert connection.scalar(sa.text("SELECT 7")) == 7


def test_a_statement_under_a_lock_sees_what_was_committed_while_it_waited(engine):
    numbers = sa.Table(
        "numbers", sa.MetaData(), sa.Column("name", sa.Text), sa.Column("n", sa.Integer)
    )
    numbers.metadata.create_all(engine)
    of_name = sa.select(numbers.c.n).where(numbers.c.name == sa.bindparam("name"))
    find = postgres.under_lock("name", of_name)

    def count(_):
        with postgres.transaction(engine) as connection:
            found = connection.execute(find, {"name": "a"}).scalars().all()
            connection.execute(sa.insert(numbers), {"name": "a", "n": len(found)})

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(count, range(20)))
    assert sorted(row.n for row in postgres.read(engine, sa.select(numbers))) == list(range(20))


def test_what_follows_a_commit_does_not_follow_a_rollback(engine):
    done = []
    with postgres.transaction(engine) as connection:
        postgres.after_commit(connection, lambda: done.append("committed"))
        assert done == []
    with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
        postgres.after_commit(connection, lambda: done.append("rolled back"))
        raise ZeroDivisionError
    assert done == ["committed"]
