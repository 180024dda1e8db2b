"""PostgreSQL as all services use it: away, migrated by many at once, and the outbox."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from textwrap import dedent

import pytest
import sqlalchemy as sa

from scripts.paths import ROOT
from services.common.errors import StoreUnavailableError
from services.common.messaging.events import CloudEvent
from services.common.storage import postgres

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENVIRONMENT = """
    from alembic import context

    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
    import sqlalchemy as sa
    from alembic import op

    revision = {revision!r}
    down_revision = {before!r}


    def upgrade():
        op.create_table({table!r}, sa.Column("id", sa.Integer, primary_key=True))
        op.execute("SELECT pg_sleep({seconds})")
"""


@pytest.fixture
def engine(postgres_url):
    engine = postgres.create_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def migrations(tmp_path):
    """Return a folder of migrations, with a character that configurations trip over."""
    folder = tmp_path / "100%"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(dedent(ENVIRONMENT))
    add_revision(folder, "0001", None, "first")
    return folder


def add_revision(folder, revision, before, table, seconds=0.0):
    text = REVISION.format(revision=revision, before=before, table=table, seconds=seconds)
    (folder / "versions" / f"{revision}.py").write_text(dedent(text))


def tables(engine):
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


class TestMigrations:
    def test_migrating_twice_is_migrating_once(self, postgres_url, engine, migrations):
        for _ in range(2):
            postgres.migrate(url=postgres_url, directory=migrations)
        assert tables(engine) == {"first"}

    def test_what_is_new_is_added(self, postgres_url, engine, migrations):
        postgres.migrate(url=postgres_url, directory=migrations)
        add_revision(migrations, "0002", "0001", "second")
        postgres.migrate(url=postgres_url, directory=migrations)
        assert tables(engine) == {"first", "second"}

    def test_a_migration_that_fails_leaves_nothing_behind(self, postgres_url, engine, migrations):
        add_revision(migrations, "0002", "0001", "first")
        with pytest.raises(sa.exc.ProgrammingError):
            postgres.migrate(url=postgres_url, directory=migrations)
        assert tables(engine) == set()

    def test_who_migrates_at_the_same_time_waits_for_the_other(
        self, postgres_url, engine, migrations
    ):
        # The waiting is longer than what any other statement may take.
        seconds = postgres.STATEMENT_TIMEOUT_MS / 1000 + 0.3
        add_revision(migrations, "0002", "0001", "second", seconds=seconds)
        migrate = [
            "import sys; from pathlib import Path; from services.common.storage import postgres;"
            "postgres.migrate(url=sys.argv[1], directory=Path(sys.argv[2]))"
        ]
        with ThreadPoolExecutor(3) as processes:
            run = lambda _: run_python(*migrate, postgres_url, str(migrations))  # noqa: E731
            assert list(processes.map(run, range(3))) == [0, 0, 0]
        assert tables(engine) == {"first", "second"}


def run_python(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


class TestAway:
    def test_a_server_that_is_away_is_unavailable(self):
        with pytest.raises(StoreUnavailableError):
            postgres.ping(postgres.create_engine("postgresql://127.0.0.1:1/none"))

    def test_a_server_that_is_there_answers(self, engine):
        postgres.ping(engine)

    def test_a_statement_that_takes_too_long_is_given_up(self, engine):
        with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
            connection.execute(sa.text("SET LOCAL statement_timeout = 50"))
            connection.execute(sa.text("SELECT pg_sleep(5)"))

    def test_every_connection_has_a_limit_and_the_time_of_the_world(self, engine):
        with postgres.transaction(engine) as connection:
            assert connection.scalar(sa.text("SHOW statement_timeout")) == "3s"
            assert connection.scalar(sa.text("SHOW timezone")) == "UTC"

    @pytest.mark.parametrize("statements_before", [0, 1])
    def test_a_connection_that_is_cut_in_a_transaction_is_unavailable(
        self, engine, statements_before
    ):
        with pytest.raises(StoreUnavailableError), postgres.transaction(engine) as connection:
            me = backend(connection)
            for _ in range(statements_before):
                connection.execute(sa.text("SELECT 1"))
            cut(engine, me)
            connection.execute(sa.text("SELECT 1"))

    def test_a_connection_that_is_cut_between_transactions_is_replaced(self, engine):
        with postgres.transaction(engine) as connection:
            me = backend(connection)
        cut(engine, me)
        postgres.ping(engine)

    def test_a_pool_that_is_used_up_is_unavailable(self, postgres_url):
        engine = postgres.create_engine(postgres_url, pool_size=1)
        with (
            postgres.transaction(engine),
            postgres.transaction(engine),
            pytest.raises(StoreUnavailableError),
            postgres.transaction(engine),
        ):
            pass
        engine.dispose()

    def test_a_mistake_of_ours_is_not_called_unavailable(self, engine):
        with pytest.raises(sa.exc.ProgrammingError), postgres.transaction(engine) as connection:
            connection.execute(sa.text("SELECT * FROM nothing"))

    def test_what_the_block_raises_undoes_all_and_passes(self, engine):
        with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
            connection.execute(sa.text("CREATE TABLE t (i int)"))
            raise ZeroDivisionError
        assert tables(engine) == set()


def backend(connection):
    """Return the server's process for a connection."""
    return connection.connection.dbapi_connection.info.backend_pid


def cut(engine, backend):
    """End a backend, and return when it has ended."""
    other = postgres.create_engine(engine.url.render_as_string(hide_password=False))
    with other.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})
    other.dispose()


class TestOutbox:
    @pytest.fixture
    def outbox(self, engine):
        metadata = sa.MetaData()
        outbox = postgres.outbox_table(metadata)
        metadata.create_all(engine)
        return outbox

    def event(self, number):
        return CloudEvent(
            id=f"event-{number}",
            type="a.B",
            source="/mamie-rosa/test",
            subject="s",
            time=NOW,
            traceparent="",
            data=b"\0\xff" + bytes([number]),
        )

    def waiting(self, engine, outbox):
        with postgres.transaction(engine) as connection:
            return connection.execute(sa.select(outbox).order_by(outbox.c.position)).all()

    def test_events_wait_in_the_order_in_which_they_were_written(self, engine, outbox):
        with postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox, *map(self.event, range(50)))
        with postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox, self.event(50))
            postgres.add_to_outbox(connection, outbox, self.event(51))
        waiting = self.waiting(engine, outbox)
        assert [row.id for row in waiting] == [f"event-{number}" for number in range(52)]

    def test_an_event_is_kept_as_it_was(self, engine, outbox):
        with postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox, self.event(7))
        (row,) = self.waiting(engine, outbox)
        assert CloudEvent(**{k: v for k, v in row._mapping.items() if k != "position"}) == (
            self.event(7)
        )

    def test_no_events_are_nothing_to_write(self, engine, outbox):
        with postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox)
        assert self.waiting(engine, outbox) == []

    def test_what_is_undone_was_never_written(self, engine, outbox):
        with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox, self.event(1))
            raise ZeroDivisionError
        assert self.waiting(engine, outbox) == []

    def test_an_event_is_written_once(self, engine, outbox):
        with pytest.raises(sa.exc.IntegrityError), postgres.transaction(engine) as connection:
            postgres.add_to_outbox(connection, outbox, self.event(1), self.event(1))
