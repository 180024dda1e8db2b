"""Messages that a consumer rejects: dead letters after five deliveries, and their redrive."""

import json
import re
import time
import uuid
from collections import Counter
from dataclasses import replace

import pytest

from services.common.messaging import rabbitmq
from tests.faults.checkers import check, one_welcome_per_user
from tests.faults.faults import down, faulty_constraint
from tests.faults.workloads import publish_unreadable, user_event
from tests.support.commands import run_script
from tests.support.dead_letters import OwnDeadLetters
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

QUEUE = rabbitmq.Queue("notifications", ())
VALID, UNREADABLE = 1_000, 20
ATTEMPTS = rabbitmq.MAX_DELIVERY_ATTEMPTS


@pytest.fixture
def connection(stack):
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        yield connection


@pytest.fixture
def channel(connection):
    with connection.channel() as channel:
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def dead(connection):
    """Yield the dead letters of this test; they are removed afterwards."""
    letters = OwnDeadLetters(connection, QUEUE, uuid.uuid4().hex)
    yield letters
    letters.discard()


def delivery_attempts(stack, prefix):
    """Return how often each message was rejected, from the logs of the notifications."""
    logs = (stack.data / "logs").glob("notifications-*.log")
    lines = (line for log in logs for line in log.read_text().splitlines() if prefix in line)
    entries = map(json.loads, lines)
    return Counter(each["message_id"] for each in entries if each["event"] == "event_failed")


def publish_user(channel, message_id):
    """Publish the event of a new user, whose id is the event's."""
    event = user_event(message_id, "Rejected", is_new=True)
    rabbitmq.publish(channel, replace(event, id=message_id))


def redrive(stack, *options):
    return run_script(stack, "redrive", "notifications", *options)


def list_all(stack, ids):
    """Return the list of dead letters once it shows all of some ids."""
    status, shown = redrive(stack, "--list")
    assert status == 0
    return shown if all(each in shown for each in ids) else None


def publish_mixed(channel, valid, unreadable):
    """Publish valid events, with an unreadable message before every fiftieth."""
    for number, user_id in enumerate(valid):
        if number % (len(valid) // len(unreadable)) == 0:
            publish_unreadable(channel, unreadable[number * len(unreadable) // len(valid)])
        rabbitmq.publish(channel, user_event(user_id, "Valid", is_new=False))


def test_unreadable_messages_are_dead_after_five_attempts_and_the_queue_goes_on(
    stack, channel, notifications, dead, say
):
    valid = [f"{dead.prefix}-{number}" for number in range(VALID)]
    unreadable = sorted(f"{dead.prefix}-unreadable-{number}" for number in range(UNREADABLE))
    publish_mixed(channel, valid, unreadable)
    began = time.monotonic()
    eventually(lambda: len(notifications.first_names(valid)) == VALID, seconds=60)
    eventually(lambda: dead.ids() == unreadable, seconds=30)
    assert delivery_attempts(stack, dead.prefix) == dict.fromkeys(unreadable, ATTEMPTS)
    say(f"1,000 valid, 20 unreadable: done {time.monotonic() - began:.1f} s after the last")


def test_redriven_messages_have_one_effect_or_are_dead_again(
    stack, channel, notifications_engine, notifications, dead
):
    unreadable = [f"{dead.prefix}-unreadable-{number}" for number in range(3)]
    rejected = [f"{dead.prefix}-rejected-{number}" for number in range(3)]
    both = sorted(unreadable + rejected)
    no_rejected = f"user_id NOT LIKE '{dead.prefix}-rejected-%'"
    with faulty_constraint(notifications_engine, "clients", no_rejected):
        for rejected_id, unreadable_id in zip(rejected, unreadable, strict=True):
            publish_user(channel, rejected_id)
            publish_unreadable(channel, unreadable_id)
        eventually(lambda: dead.ids() == both, seconds=30)
    assert delivery_attempts(stack, dead.prefix) == dict.fromkeys(both, ATTEMPTS)
    assert notifications.first_names(rejected) == []

    count = count_listed(stack, unreadable, rejected)
    eventually(lambda: dead.total() == count)
    assert redrive(stack) == (0, f"{count} messages moved back to {QUEUE.name}\n")
    twice = dict.fromkeys(unreadable, 2 * ATTEMPTS) | dict.fromkeys(rejected, ATTEMPTS)
    eventually(lambda: delivery_attempts(stack, dead.prefix) == twice, seconds=30)
    eventually(lambda: dead.ids() == unreadable, seconds=30)
    check(one_welcome_per_user(notifications.welcome_counts, rejected), seconds=10)
    assert notifications.first_names(rejected) == ["Rejected"] * 3


def count_listed(stack, unreadable, rejected):
    """Return the count of listed dead letters, which shows some with their type and reason."""
    shown = eventually(lambda: list_all(stack, unreadable + rejected))
    for each in unreadable:
        assert re.search(rf"{each} .*unreadable .*rejected", shown), shown
    for each in rejected:
        assert re.search(rf"{each} .*UserCreated .*rejected", shown), shown
    (count,) = re.findall(rf"^(\d+) messages in {QUEUE.dead}$", shown, re.M)
    return int(count)


def test_the_command_reports_a_bus_that_is_down_in_one_line(stack):
    with down(stack, "rabbitmq"):
        for options in ((), ("--list",)):
            status, shown = redrive(stack, *options)
            assert status == 1
            assert re.fullmatch(r"RabbitMQ does not .*\n", shown), shown
