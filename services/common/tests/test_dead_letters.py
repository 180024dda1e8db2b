"""Dead letters on a real RabbitMQ: listing and redriving, without losing one."""

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pika
import pika.exceptions
import pytest

from scripts.paths import ROOT
from services.common.messaging import dead_letters, rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.dead_letter_queue import BusUnavailableError, DeadLetterQueue
from services.common.messaging.events import CloudEvent
from services.common.tests.broker import build_event, count, patient_connection, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

REDRIVE = """
import sys
from services.common.messaging import rabbitmq
from services.common.messaging import dead_letters
with rabbitmq.connection(sys.argv[1], "test") as connection:
    dead_letters.redrive(connection, rabbitmq.Queue(sys.argv[2], ()))
"""


@pytest.fixture
def connection(broker_url):
    with patient_connection(broker_url) as connection:
        yield connection


def fail(_event):
    raise ValueError("poison")


def consuming(queue, broker_url, handler):
    return running(Consumer(queue=queue, handler=handler, url=broker_url))


def publish_and_fail(channel, queue, broker_url, number):
    """Publish events, let a consumer fail them, and return them when all are dead letters."""
    events = [build_event(queue.types[0], each) for each in range(number)]
    with consuming(queue, broker_url, fail):
        for event in events:
            rabbitmq.publish(channel, event)
        eventually(lambda: count(channel, queue.dead) == number, seconds=30)
    return events


def add_dead_letters(channel, queue, number):
    """Publish events to the dead-letter queue directly, which is faster; return their ids."""
    events = [build_event(queue.types[0], each) for each in range(number)]
    for event in events:
        channel.basic_publish("", queue.dead, event.data, rabbitmq.build_properties(event))
    return [event.id for event in events]


def take_all(channel, name):
    """Consume all messages of a queue and return their properties."""
    consumed = channel.consume(name, auto_ack=True, inactivity_timeout=0.5)
    properties = [each for _, each, _ in iter(lambda: next(consumed), (None, None, None))]
    channel.cancel()
    return properties


def ids_in(channel, name):
    return [properties.message_id for properties in take_all(channel, name)]


def test_a_redriven_dead_letter_is_processed_as_the_original_event(
    channel, connection, queue, broker_url
):
    events = publish_and_fail(channel, queue, broker_url, 3)
    received: list[CloudEvent] = []
    assert dead_letters.redrive(connection, queue) == 3
    with consuming(queue, broker_url, received.append):
        eventually(lambda: len(received) == 3)
    assert received == events
    assert count(channel, queue.dead) == 0


def test_a_redriven_dead_letter_is_a_new_persistent_message(channel, connection, queue, broker_url):
    (event,) = publish_and_fail(channel, queue, broker_url, 1)
    channel.basic_publish("", queue.dead, b"", pika.BasicProperties(message_id="transient"))
    dead_letters.redrive(connection, queue)
    properties, other = take_all(channel, queue.name)
    assert {each.delivery_mode for each in (properties, other)} == {
        pika.DeliveryMode.Persistent.value
    }
    assert other.message_id == "transient"
    assert (properties.message_id, properties.content_type) == (event.id, rabbitmq.CONTENT_TYPE)
    # Some brokers count from the first delivery, some from the second.
    assert properties.headers.pop(dead_letters.DELIVERY_COUNT, 0) == 0
    assert properties.headers == rabbitmq.build_properties(event).headers


def test_a_redriven_dead_letter_gets_all_attempts_again(channel, connection, queue, broker_url):
    attempts = []

    def fail_again(event):
        attempts.append(event.id)
        raise ValueError("poison")

    publish_and_fail(channel, queue, broker_url, 1)
    dead_letters.redrive(connection, queue)
    with consuming(queue, broker_url, fail_again):
        eventually(lambda: count(channel, queue.dead) == 1)
    assert len(attempts) == rabbitmq.MAX_DELIVERY_ATTEMPTS


def test_messages_that_die_again_are_not_moved_again(channel, connection, queue, broker_url):
    events = publish_and_fail(channel, queue, broker_url, 20)
    with consuming(queue, broker_url, fail):
        assert dead_letters.redrive(connection, queue) == 20
        eventually(lambda: count(channel, queue.dead) == 20, seconds=30)
    assert sorted(ids_in(channel, queue.dead)) == sorted(event.id for event in events)


def test_a_limited_redrive_moves_the_oldest_first(channel, connection, queue):
    ids = add_dead_letters(channel, queue, 5)
    assert dead_letters.redrive(connection, queue, 2) == 2
    assert ids_in(channel, queue.name) == ids[:2]
    assert dead_letters.redrive(connection, queue, 9) == 3
    assert ids_in(channel, queue.name) == ids[2:]


def test_concurrent_redrives_move_each_message_once(channel, queue, broker_url):
    ids, moved = add_dead_letters(channel, queue, 200), []

    def redrive():
        with rabbitmq.connection(broker_url, "test") as connection:
            moved.append(dead_letters.redrive(connection, queue))

    threads = [threading.Thread(target=redrive) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 200
    assert sorted(ids_in(channel, queue.name)) == sorted(ids)


def test_a_redrive_that_is_killed_loses_nothing(channel, connection, queue, broker_url):
    ids, moved = add_dead_letters(channel, queue, 1_000), []
    for moved_before_kill in (1, 10, 50, 100):
        command = [sys.executable, "-c", REDRIVE, broker_url, queue.consumer]
        with subprocess.Popen(command, cwd=ROOT) as process:
            eventually(partial(has_at_least, channel, queue.name, moved_before_kill), seconds=30)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        moved.extend(ids_in(channel, queue.name))
    assert len(moved) < len(ids)

    def all_moved():
        dead_letters.redrive(connection, queue)
        moved.extend(ids_in(channel, queue.name))
        return set(moved) == set(ids)

    eventually(all_moved, seconds=30)
    assert len(moved) <= len(ids) + 4  # one per kill may be in both queues


def has_at_least(channel, name, number):
    return count(channel, name) >= number


class DeletingConnection:
    """A connection that deletes a queue right before a message is published to it."""

    def __init__(self, connection):
        self._connection = connection

    def channel(self):
        channel = self._connection.channel()
        publish = channel.basic_publish

        def delete_and_publish(exchange, name, *message, **how):
            channel.queue_delete(name)
            publish(exchange, name, *message, **how)

        channel.basic_publish = delete_and_publish
        return channel


def test_a_message_that_cannot_be_routed_stays_a_dead_letter(channel, connection, queue):
    add_dead_letters(channel, queue, 2)
    with pytest.raises(pika.exceptions.UnroutableError):
        dead_letters.redrive(DeletingConnection(connection), queue)
    eventually(lambda: count(channel, queue.dead) == 2)


def test_listed_dead_letters_stay_and_have_a_reason_and_a_time(
    channel, connection, queue, broker_url
):
    events = publish_and_fail(channel, queue, broker_url, 3)
    letters = dead_letters.list_dead_letters(connection, queue)
    assert [letter.event for letter in letters] == events
    assert {letter.reason for letter in letters} == {"rejected"}
    a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    assert all(letter.died_at and letter.died_at > a_minute_ago for letter in letters)
    (oldest,) = eventually(lambda: dead_letters.list_dead_letters(connection, queue, 1))
    assert oldest.event == events[0]
    eventually(lambda: count(channel, queue.dead) == 3)


def test_a_malformed_dead_letter_is_listed_without_an_event(channel, connection, queue):
    channel.basic_publish("", queue.dead, b"\xff")
    (letter,) = dead_letters.list_dead_letters(connection, queue)
    assert (letter.event, letter.reason, letter.died_at) == (None, "", None)
    assert letter.body == b"\xff"


def test_listing_often_does_not_reach_the_delivery_limit_of_the_broker(
    channel, connection, queue, broker_url
):
    events, delivery_counts = publish_and_fail(channel, queue, broker_url, 2), set()
    for _ in range(3 * dead_letters.MAX_DELIVERY_COUNT):
        eventually(lambda: count(channel, queue.dead) == 2)
        letters = dead_letters.list_dead_letters(connection, queue)
        assert sorted(letter.body for letter in letters) == [event.data for event in events]
        delivery_counts |= {letter.headers[dead_letters.DELIVERY_COUNT] for letter in letters}
    assert max(delivery_counts) == dead_letters.MAX_DELIVERY_COUNT
    assert {letter.reason for letter in letters} == {"rejected"}


@pytest.mark.parametrize("missing", ["name", "dead"])
def test_when_a_queue_is_missing_nothing_is_moved(channel, connection, queue, missing):
    add_dead_letters(channel, queue, 1)
    channel.queue_delete(getattr(queue, missing))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        dead_letters.redrive(connection, queue)
    remaining = {"name": queue.dead, "dead": queue.name}[missing]
    assert count(channel, remaining) == int(missing == "name")


def test_a_service_lists_and_redrives_its_own(channel, queue, broker_url):
    ids = add_dead_letters(channel, queue, 3)
    own = DeadLetterQueue(broker_url, queue)
    found, total = own.list(2)
    assert [letter.event_id for letter in found] == ids[:2]
    assert (found[0].type, total) == (queue.types[0], 3)
    assert own.redrive() == 3
    eventually(lambda: count(channel, queue.name) == 3)
    assert own.list(0) == ([], 0)


def test_a_broker_that_does_not_answer_is_an_unavailable_bus(queue):
    with pytest.raises(BusUnavailableError):
        DeadLetterQueue("amqp://127.0.0.1:9", queue).list(1)
