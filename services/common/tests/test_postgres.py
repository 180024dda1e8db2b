"""PostgreSQL as all services use it: time-outs, transactions and an unavailable server."""

import pytest
import sqlalchemy as sa

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres

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
