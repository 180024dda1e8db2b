"""Catching up with the event log: what was missed has its effect, and nothing has it twice."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2
from structlog.testing import capture_logs

from services.common.clock import new_id
from services.common.messaging import rabbitmq
from services.common.messaging.events import build_event
from services.notifications.catch_up import catch_up
from services.notifications.consumer import EventHandler
from services.notifications.domain import MAX_EVENT_AGE
from services.notifications.tests.fakes import InMemoryNotificationsRepository
from tests.plugin import server_url


def user_created(at):
    user_id = str(uuid.uuid4())
    message = events_pb2.UserCreated(user_id=user_id, email=f"{user_id}@customers.example")
    return user_id, build_event(message, source="test", subject=user_id, now=at, new_id=new_id)


def welcomes(repository, user_id):
    listed, _ = repository.list_by_user(user_id, page=1, limit=10)
    return [notification.template for notification in listed]


def test_a_moment_from_which_events_cause_no_notification_is_rejected():
    since = datetime.now(UTC) - MAX_EVENT_AGE
    with capture_logs() as log, pytest.raises(SystemExit):
        catch_up(url="", repository=InMemoryNotificationsRepository(), since=since)
    assert [entry["event"] for entry in log] in ([], ["catch_up_rejected"])


@pytest.mark.integration
def test_missed_events_since_a_moment_have_their_effect_once(request):
    url = server_url(request, "rabbitmq")
    now = datetime.now(UTC)
    early, early_event = user_created(now - timedelta(hours=2))
    processed, processed_event = user_created(now - timedelta(seconds=1))
    missed, missed_event = user_created(now)
    with rabbitmq.connection(url, "test") as connection:
        channel = connection.channel()
        rabbitmq.declare_log(channel)
        channel.confirm_delivery()
        for event in (early_event, processed_event, missed_event):
            # Into the log alone: to a running shop these customers are none.
            channel.basic_publish(
                "",
                rabbitmq.EVENT_LOG,
                event.data,
                rabbitmq.build_properties(event),
                mandatory=True,
            )
    repository = InMemoryNotificationsRepository()
    EventHandler(repository=repository, wake=lambda: None).handle(processed_event)

    since = now - timedelta(minutes=1)
    assert catch_up(url=url, repository=repository, since=since) >= 1
    assert (welcomes(repository, missed), welcomes(repository, processed)) == (
        ["welcome"],
        ["welcome"],
    )
    assert welcomes(repository, early) == []
    catch_up(url=url, repository=repository, since=since)
    assert welcomes(repository, missed) == ["welcome"]
