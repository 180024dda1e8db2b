"""PostgreSQL as all services use it: time-outs, transactions and an unavailable server."""

import socket
import time
import traceback

import pytest
import sqlalchemy as sa

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres
from services.common.tests.sessions import backend_pid, terminate, unavailable_within, within

pytestmark = pytest.mark.integration


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
