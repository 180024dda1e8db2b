"""Migrations of a PostgreSQL schema, also by several processes at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest
import sqlalchemy as sa

from scripts.paths import ROOT
from services.common.storage import postgres
from services.common.storage.migrations import migrate

pytestmark = pytest.mark.integration

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
MIGRATE = """
import sys
from pathlib import Path
from services.common.storage.migrations import migrate
migrate(url=sys.argv[1], directory=Path(sys.argv[2]))
"""


@pytest.fixture
def migrations(tmp_path):
    """Create a migrations folder; its name has a percent sign, which Alembic interpolates."""
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


def test_migrating_twice_has_one_effect(postgres_url, engine, migrations):
    for _ in range(2):
        migrate(url=postgres_url, directory=migrations)
    assert tables(engine) == {"first"}


def test_a_new_revision_is_applied(postgres_url, engine, migrations):
    migrate(url=postgres_url, directory=migrations)
    add_revision(migrations, "0002", "0001", "second")
    migrate(url=postgres_url, directory=migrations)
    assert tables(engine) == {"first", "second"}


def test_a_failed_migration_changes_nothing(postgres_url, engine, migrations):
    add_revision(migrations, "0002", "0001", "first")
    with pytest.raises(sa.exc.ProgrammingError):
        migrate(url=postgres_url, directory=migrations)
    assert tables(engine) == set()


def test_concurrent_migrations_wait_for_each_other(postgres_url, engine, migrations):
    # The wait is longer than the statement timeout of other connections.
    seconds = postgres.STATEMENT_TIMEOUT_MS / 1000 + 0.3
    add_revision(migrations, "0002", "0001", "second", seconds=seconds)
    with ThreadPoolExecutor(3) as processes:
        statuses = processes.map(lambda _: run_migrate(postgres_url, migrations), range(3))
        assert list(statuses) == [0, 0, 0]
    assert tables(engine) == {"first", "second"}


def run_migrate(url, directory):
    """Migrate in a process of its own; return its exit status."""
    command = [sys.executable, "-c", MIGRATE, url, str(directory)]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode
