"""The outbox of users in PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

import services.users
from services.common.messaging.events import CloudEvent
from services.common.storage import migrations, postgres
from services.common.storage.outbox import PostgresOutbox, add_to_outbox
from services.common.tests.outbox_contract import OutboxContract
from services.users.schema import outbox as table

pytestmark = pytest.mark.integration

MIGRATIONS = Path(services.users.__path__[0]) / "migrations"


class TestPostgresOutbox(OutboxContract):
    @pytest.fixture
    def expected(self):
        return ["second", "first"]

    @pytest.fixture
    def outbox(self, postgres_url, expected):
        migrations.migrate(url=postgres_url, directory=MIGRATIONS)
        engine = postgres.create_engine(postgres_url)
        with postgres.transaction(engine) as connection:
            for subject in expected:
                add_to_outbox(connection, table, build(subject))
        yield PostgresOutbox(engine, table)
        engine.dispose()

    def test_an_event_is_read_as_it_was_written(self, outbox, expected):
        with outbox.take(1) as events:
            assert list(events) == [build(expected[0])]

    def test_no_transaction_is_open_while_events_are_published(self, outbox):
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
        with outbox.take(100) as events, postgres.transaction(outbox._engine) as connection:
            assert events
            assert connection.scalar(sa.text(query)) == 0


def build(subject):
    return CloudEvent(
        id=f"id-{subject}",
        type="t",
        source="/s",
        subject=subject,
        time=datetime(2026, 11, 24, 12, tzinfo=UTC),
        traceparent="",
        data=b"\x00\xff",
    )
