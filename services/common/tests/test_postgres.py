"""PostgreSQL as all services use it: time-outs, transactions and an unavailable server."""

import os
import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.common.storage import pool, postgres

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(engine):
    """Return the growing list of statements that the engine sends."""
    statements: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def record(_connection, _cursor, statement, *_):
        statements.append(statement)

    return statements


def test_a_server_that_does_not_answer_is_unavailable():
    with pytest.raises(StoreUnavailableError):
        postgres.ping(postgres.create_engine("postgresql://127.0.0.1:1/none"))


def test_a_ping_of_a_running_server_succeeds(engine):
    postgres.ping(engine)


def test_a_statement_timeout_is_unavailable(engine):
    with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 50"))
        connection.execute(sa.text("SELECT pg_sleep(5)"))


def test_every_connection_has_a_statement_timeout_and_uses_utc(engine):
    with postgres.transaction(engine) as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "3s"
        assert connection.scalar(sa.text("SHOW timezone")) == "UTC"


@pytest.mark.parametrize("statements_before", [0, 1])
def test_a_connection_lost_in_a_transaction_is_unavailable(engine, statements_before):
    with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
        pid = backend_pid(connection)
        for _ in range(statements_before):
            connection.execute(sa.text("SELECT 1"))
        terminate(engine, pid)
        connection.execute(sa.text("SELECT 1"))


def test_a_connection_lost_between_transactions_is_replaced(engine):
    with postgres.transaction(engine) as connection:
        pid = backend_pid(connection)
    terminate(engine, pid)
    postgres.ping(engine)


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


def test_an_exhausted_pool_is_unavailable(postgres_url):
    engine = postgres.create_engine(postgres_url, pool_size=1)
    with (
        postgres.transaction(engine),
        pytest.raises(StoreUnavailableError),
        postgres.transaction(engine),
    ):
        pass
    engine.dispose()


def test_a_wrong_statement_is_not_translated(engine):
    with pytest.raises(sa.exc.ProgrammingError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("SELECT * FROM nothing"))


def test_an_exception_in_the_block_rolls_back_and_propagates(engine):
    with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE t (i int)"))
        raise ZeroDivisionError
    assert sa.inspect(engine).get_table_names() == []


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


def test_a_statement_ends_with_the_deadline_of_its_call(engine):
    postgres.ping(engine)
    with within(0.3), unavailable_within(2), postgres.transaction(engine) as connection:
        connection.execute(sa.text("SELECT 1"))
        connection.execute(sa.text("SELECT pg_sleep(10)"))


def test_the_deadline_of_a_call_does_not_outlast_its_transaction(engine):
    with within(1), postgres.transaction(engine) as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
        assert connection.scalar(sa.text("SHOW statement_timeout")) != "3s"
    with postgres.transaction(engine) as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "3s"


def test_rows_are_written_and_counted_under_a_deadline(engine):
    numbers = sa.Table("numbers", sa.MetaData(), sa.Column("n", sa.Integer))
    numbers.metadata.create_all(engine)
    with within(2), postgres.transaction(engine) as connection:
        connection.execute(sa.insert(numbers), [{"n": n} for n in range(5)])
        one = sa.insert(numbers).returning(numbers.c.n)
        assert connection.scalar(one, {"n": 5}) == 5
        assert connection.execute(sa.delete(numbers).where(numbers.c.n < 3)).rowcount == 3
        assert connection.scalars(sa.select(numbers).order_by(numbers.c.n)).all() == [3, 4, 5]


def test_after_the_deadline_no_transaction_begins(engine):
    with within(0), pytest.raises(StoreUnavailableError), postgres.transaction(engine):
        raise AssertionError("began")


def test_a_call_waits_for_a_connection_until_its_deadline(postgres_url):
    engine = postgres.create_engine(postgres_url, pool_size=1)
    with postgres.transaction(engine):
        with within(0.2), unavailable_within(1), postgres.transaction(engine):
            pass
        postgres.ping(engine)  # busy is not unavailable
    engine.dispose()


def test_a_server_that_hangs_is_given_up_by_the_client(engine):
    """Without its own timeout, a server that sleeps is like one that is frozen."""
    postgres.ping(engine)
    with within(0.3), unavailable_within(3), postgres.transaction(engine) as connection:
        connection.connection.cursor().execute("SET statement_timeout = 0")
        connection.connection.cursor().execute("SELECT pg_sleep(10)")
    postgres.ping(engine)


def test_a_server_that_accepts_and_says_nothing_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://someone:secret@127.0.0.1:{listener.getsockname()[1]}/none"
        with unavailable_within(4):
            postgres.ping(postgres.create_engine(url))


def test_a_session_that_is_idle_in_a_transaction_ends(engine):
    with postgres.transaction(engine) as connection:
        setting = "SHOW idle_in_transaction_session_timeout"
        assert connection.scalar(sa.text(setting)) == "10s"
    with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        time.sleep(0.5)
        connection.execute(sa.text("SELECT 1"))
    postgres.ping(engine)


def test_a_standby_that_only_reads_is_unavailable(engine):
    with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        connection.execute(sa.text("CREATE TABLE t (i int)"))


@pytest.mark.parametrize("row", ["duplicate", "too long", "null"])
def test_an_error_shows_no_values_of_rows(engine, row, log):
    users = sa.Table(
        "users",
        sa.MetaData(),
        sa.Column("email", sa.String(30), primary_key=True),
        sa.Column("password_hash", sa.Text, nullable=False),
    )
    users.metadata.create_all(engine)
    secret = {"email": "marie@example.org", "password_hash": "$argon2id$secret"}
    cases: dict[str, dict[str, str | None]] = {
        "duplicate": {},
        "too long": {"email": "marie@example.org" * 3},
        "null": {"password_hash": None},
    }
    with postgres.transaction(engine) as connection:
        connection.execute(sa.insert(users), secret)
    with (
        pytest.raises(sa.exc.DBAPIError) as caught,
        postgres.transaction(engine) as connection,
    ):
        connection.execute(sa.insert(users), {**secret, **cases[row]})
    printed = "".join(traceback.format_exception(caught.value))
    assert "marie" not in printed
    assert "argon2" not in printed
    assert "INSERT INTO users" in printed


@pytest.mark.parametrize(
    "variable",
    ["PGSSLMODE=verify-full", "PGSERVICE=elsewhere", "PGOPTIONS=-c nonsense=1", "PGHOST=192.0.2.1"],
)
def test_the_variables_of_the_developer_change_nothing(postgres_url, variable, monkeypatch):
    monkeypatch.setenv(*variable.split("=", 1))
    postgres.ping(postgres.create_engine(postgres_url))
