"""The outbox table in PostgreSQL: order, content, and the caller's transaction."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from services.common.messaging.events import CloudEvent
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox, outbox_table

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def outbox(engine):
    metadata = sa.MetaData()
    outbox = outbox_table(metadata)
    metadata.create_all(engine)
    return outbox


def build_event(number):
    return CloudEvent(
        id=f"event-{number}",
        type="a.B",
        source="/mamie-rosa/test",
        subject="s",
        time=NOW,
        traceparent="",
        data=b"\0\xff" + bytes([number]),
    )


def read_all(engine, outbox):
    with postgres.transaction(engine) as connection:
        return connection.execute(sa.select(outbox).order_by(outbox.c.position)).all()


def test_events_have_positions_in_the_order_of_writing(engine, outbox):
    with postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox, *map(build_event, range(50)))
    with postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox, build_event(50))
        add_to_outbox(connection, outbox, build_event(51))
    rows = read_all(engine, outbox)
    assert [row.id for row in rows] == [f"event-{number}" for number in range(52)]


def test_an_event_is_read_as_it_was_written(engine, outbox):
    with postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox, build_event(7))
    (row,) = read_all(engine, outbox)
    attributes = {name: value for name, value in row._mapping.items() if name != "position"}
    assert CloudEvent(**attributes) == build_event(7)


def test_adding_no_events_writes_nothing(engine, outbox):
    with postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox)
    assert read_all(engine, outbox) == []


def test_a_rollback_also_drops_the_events(engine, outbox):
    with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox, build_event(1))
        raise ZeroDivisionError
    assert read_all(engine, outbox) == []


def test_an_event_id_is_unique(engine, outbox):
    with pytest.raises(sa.exc.IntegrityError), postgres.transaction(engine) as connection:
        add_to_outbox(connection, outbox, build_event(1), build_event(1))
