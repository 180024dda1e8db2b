"""A queue that the broker lost: its consumer and the publishers declare it again.

The last of the fault tests, by its name: RabbitMQ 3.10 does not start a quorum queue that was
deleted and declared again when the broker itself restarts after that.
"""

import uuid

import pika.exceptions
import pytest

from services.common.messaging import rabbitmq
from tests.faults.checkers import check, one_welcome_per_user
from tests.faults.faults import await_ready, down, kill
from tests.faults.workloads import UserEvents
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.local]

QUEUE = rabbitmq.Queue("notifications", ()).name
NOTICE_SECONDS = 45  # its consumer may still wait to connect again after another fault


@pytest.fixture
def events(users_store):
    return UserEvents(users_store, [str(uuid.uuid4()) for _ in range(5)])


def delete_queue(stack):
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        connection.channel().queue_delete(QUEUE)


def has_queue(stack, *, consumers=0):
    """Return whether the queue is there and so many consumers wait for its messages."""
    try:
        with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
            found = connection.channel().queue_declare(QUEUE, passive=True)
    except (pika.exceptions.AMQPError, OSError):
        return False
    return found.method.consumer_count >= consumers


def test_a_consumer_whose_queue_is_deleted_gets_the_events_that_follow(
    stack, notifications, events
):
    delete_queue(stack)
    eventually(lambda: has_queue(stack, consumers=1), seconds=NOTICE_SECONDS)
    events.commit(0)
    check(one_welcome_per_user(notifications.welcome_counts, events.user_ids), seconds=15)


def test_events_wait_for_a_consumer_that_was_down_when_the_broker_lost_its_queue(
    stack, notifications, events
):
    with down(stack, "notifications"):
        delete_queue(stack)
        kill(stack, "rabbitmq")
        await_ready(stack, "rabbitmq")
        eventually(lambda: has_queue(stack), seconds=NOTICE_SECONDS)
        events.commit(0)
    check(one_welcome_per_user(notifications.welcome_counts, events.user_ids), seconds=30)
