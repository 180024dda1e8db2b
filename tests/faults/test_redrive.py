"""What nobody can handle is put aside after five tries, and handled when it can be."""

import json
import re
import subprocess
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pika
import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from scripts.paths import ROOT
from services.common.messaging import dead_letters, rabbitmq
from tests.faults.heard import Heard, engine_of, tell_of
from tests.outage import down
from tests.waiting import eventually

pytestmark = pytest.mark.faults

QUEUE = rabbitmq.Queue("notifications", ())
GOOD, POISON = 1_000, 20
POISONED = events_pb2.OrderShipped.DESCRIPTOR.full_name
"""A type that the notifications alone listen to."""


@pytest.fixture
def engine(stack):
    with engine_of(stack, "notifications") as engine:
        yield engine


@pytest.fixture
def heard(engine):
    return Heard(engine)


@pytest.fixture
def connection(stack):
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        yield connection


@pytest.fixture
def mine(connection):
    """What the ids of this test begin with; its dead letters are thrown away afterwards."""
    marker = uuid.uuid4().hex
    yield marker
    eventually(lambda: thrown_away(connection, marker), seconds=30)


def thrown_away(connection, marker):
    """Throw dead letters of a test away; tell whether there were none any more."""
    found = 0
    with connection.channel() as channel:
        for _ in range(message_count(connection)):
            method, properties, _ = channel.basic_get(QUEUE.dead)
            if method and (properties.message_id or "").startswith(marker):
                channel.basic_ack(method.delivery_tag)
                found += 1
    return found == 0


def message_count(connection):
    with connection.channel() as channel:
        return channel.queue_declare(QUEUE.dead, passive=True).method.message_count


def dead(connection, marker):
    """Return the ids of this test's dead letters, each as often as it is there."""
    letters = dead_letters.list_dead_letters(connection, QUEUE)
    names = (letter.properties.message_id or "" for letter in letters)
    return sorted(name for name in names if name.startswith(marker))


def tries(stack, marker):
    """Return how often messages were refused, as the logs of the notifications tell."""
    logs = (stack.data / "logs").glob("notifications-*.log")
    lines = (line for log in logs for line in log.read_text().splitlines() if marker in line)
    told = map(json.loads, lines)
    return Counter(each["message_id"] for each in told if each["event"] == "event_refused")


@contextmanager
def faulty_schema(engine, marker):
    """Let the store refuse some clients, as a migration with a mistake would."""
    name = f"mistake_{marker}"
    refuse = f"CHECK (user_id NOT LIKE '{marker}-refused-%') NOT VALID"
    run(engine, f"ALTER TABLE clients ADD CONSTRAINT {name} {refuse}")
    try:
        yield
    finally:
        run(engine, f"ALTER TABLE clients DROP CONSTRAINT {name}")


def run(engine, statement):
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def publish_poison(channel, message_id):
    properties = pika.BasicProperties(
        delivery_mode=pika.DeliveryMode.Persistent, message_id=message_id
    )
    channel.basic_publish(rabbitmq.EXCHANGE, POISONED, b"\xff poison", properties, mandatory=True)


def publish_refused(channel, message_id):
    event = tell_of(message_id, "Refused", is_new=True)
    rabbitmq.publish(channel, replace(event, id=message_id))


def redrive(stack, *options):
    """Run the command; return its exit status and what it says."""
    command = [ROOT / "scripts" / "redrive", "notifications", *options, "--data", stack.data]
    ended = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    assert not ended.stderr
    return ended.returncode, ended.stdout


def listed(stack, ids):
    """Return what the command shows, if all of some dead letters are there to be seen."""
    status, shown = redrive(stack, "--list")
    assert status == 0
    return shown if all(each in shown for each in ids) else None


def test_poison_is_put_aside_after_five_tries_and_the_others_go_on(
    stack, connection, heard, mine, say
):
    good = [f"{mine}-{number}" for number in range(GOOD)]
    bad = sorted(f"{mine}-poison-{number}" for number in range(POISON))
    with connection.channel() as channel:
        channel.confirm_delivery()
        for number, user_id in enumerate(good):
            if number % (GOOD // POISON) == 0:
                publish_poison(channel, bad[number * POISON // GOOD])
            rabbitmq.publish(channel, tell_of(user_id, "Good", is_new=False))
    began = time.monotonic()
    eventually(lambda: len(heard.names(good)) == GOOD, seconds=60)
    eventually(lambda: dead(connection, mine) == bad, seconds=30)
    assert tries(stack, mine) == dict.fromkeys(bad, rabbitmq.MAX_DELIVERY_ATTEMPTS)
    say(f"1,000 good among 20 poison: done {time.monotonic() - began:.1f} s after the last")


def test_dead_letters_that_are_redriven_have_their_effect_once_or_are_dead_again(
    stack, connection, engine, heard, mine
):
    bad = [f"{mine}-poison-{number}" for number in range(3)]
    refused = [f"{mine}-refused-{number}" for number in range(3)]
    with faulty_schema(engine, mine), connection.channel() as channel:
        channel.confirm_delivery()
        for refused_id, bad_id in zip(refused, bad, strict=True):
            publish_refused(channel, refused_id)
            publish_poison(channel, bad_id)
        eventually(lambda: dead(connection, mine) == bad + refused, seconds=30)
    assert tries(stack, mine) == dict.fromkeys(bad + refused, rabbitmq.MAX_DELIVERY_ATTEMPTS)
    assert heard.names(refused) == []

    shown = eventually(lambda: listed(stack, bad + refused))
    assert all(re.search(rf"{each} .*unreadable .*rejected", shown) for each in bad), shown
    assert all(re.search(rf"{each} .*UserCreated .*rejected", shown) for each in refused), shown
    (count,) = re.findall(rf"^(\d+) messages in {QUEUE.dead}$", shown, re.M)
    eventually(lambda: message_count(connection) == int(count))

    assert redrive(stack) == (0, f"{count} messages moved back to {QUEUE.name}\n")
    once_more = dict.fromkeys(bad, 2 * rabbitmq.MAX_DELIVERY_ATTEMPTS) | dict.fromkeys(
        refused, rabbitmq.MAX_DELIVERY_ATTEMPTS
    )
    eventually(lambda: tries(stack, mine) == once_more, seconds=30)
    eventually(lambda: dead(connection, mine) == bad, seconds=30)
    eventually(lambda: heard.welcomes(refused) == dict.fromkeys(refused, 1))
    assert heard.names(refused) == ["Refused"] * 3


def test_without_a_bus_the_command_says_so_in_one_line(stack):
    with down(stack, "rabbitmq"):
        for option in ((), ("--list",)):
            status, shown = redrive(stack, *option)
            assert status == 1
            assert re.fullmatch(r"RabbitMQ does not .*\n", shown), shown
