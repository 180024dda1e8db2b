"""What notifications logs when its store or a mail fails: nothing about a person."""

import pytest
import sqlalchemy as sa
import structlog

from services.common.tests.logs import logged
from services.notifications.consumer import EventHandler
from services.notifications.repository import PostgresNotificationsRepository
from services.notifications.tests.fakes import cloud_event, user_created

PERSONAL = ("marie", "petit", "example.org")


@pytest.fixture
def output():
    with logged("notifications") as lines:
        yield lines


@pytest.mark.integration
def test_an_event_that_cannot_be_stored_logs_nothing_about_the_customer(engine, output):
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE clients ADD CONSTRAINT broken CHECK (false)"))
    handler = EventHandler(repository=PostgresNotificationsRepository(engine), wake=lambda: None)
    with pytest.raises(sa.exc.IntegrityError) as caught:
        handler.handle(cloud_event(user_created()))
    structlog.get_logger().error("event_rejected", exc_info=caught.value)
    text = output.getvalue().lower()
    assert "exception" in text
    assert [word for word in PERSONAL if word in text] == []
