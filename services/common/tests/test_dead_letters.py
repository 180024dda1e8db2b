"""Dead letters on a real RabbitMQ: they are handed over again, and none is lost on the way."""

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
from services.common.messaging.events import CloudEvent
from services.common.tests.broker import build_event, count, running
from tests.waiting import eventually

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
    with rabbitmq.connection(broker_url, "test") as connection:
        yield connection


def refuse(_event):
    raise ValueError("poison")


def handling(queue, broker_url, handler):
    return running(Consumer(queue=queue, handler=handler, url=broker_url))


def let_die(channel, queue, broker_url, number):
    """Publish events and return them when all are dead letters."""
    told = [build_event(queue.types[0], each) for each in range(number)]
    with handling(queue, broker_url, refuse):
        for event in told:
            rabbitmq.publish(channel, event)
        eventually(lambda: count(channel, queue.dead) == number, seconds=30)
    return told


def bury(channel, queue, number):
    """Put events into the dead-letter queue as they are, which is quicker; return their ids."""
    told = [build_event(queue.types[0], each) for each in range(number)]
    for event in told:
        channel.basic_publish("", queue.dead, event.data, rabbitmq._properties(event))
    return [event.id for event in told]


def take_all(channel, name):
    """Take all messages out of a queue and return what they are without their bodies."""
    consumed = channel.consume(name, auto_ack=True, inactivity_timeout=0.5)
    properties = [each for _, each, _ in iter(lambda: next(consumed), (None, None, None))]
    channel.cancel()
    return properties


def ids_in(channel, name):
    return [properties.message_id for properties in take_all(channel, name)]


def test_a_dead_letter_is_handled_when_it_can_be_as_the_event_that_it_was(
    channel, connection, queue, broker_url
):
    told = let_die(channel, queue, broker_url, 3)
    received: list[CloudEvent] = []
    assert dead_letters.redrive(connection, queue) == 3
    with handling(queue, broker_url, received.append):
        eventually(lambda: len(received) == 3)
    assert received == told
    assert count(channel, queue.dead) == 0


def test_it_is_a_new_message_that_is_kept_on_disk(channel, connection, queue, broker_url):
    (event,) = let_die(channel, queue, broker_url, 1)
    channel.basic_publish("", queue.dead, b"", pika.BasicProperties(message_id="fleeting"))
    dead_letters.redrive(connection, queue)
    properties, other = take_all(channel, queue.name)
    assert {each.delivery_mode for each in (properties, other)} == {
        pika.DeliveryMode.Persistent.value
    }
    assert other.message_id == "fleeting"
    assert (properties.message_id, properties.content_type) == (event.id, rabbitmq.CONTENT_TYPE)
    # A broker that counts says 0 on its own, some only from the second time on.
    assert properties.headers.pop(dead_letters.RETURNED, 0) == 0
    assert properties.headers == rabbitmq._properties(event).headers


def test_it_has_all_its_tries_again(channel, connection, queue, broker_url):
    tries = []

    def refuse_again(event):
        tries.append(event.id)
        raise ValueError("poison")

    let_die(channel, queue, broker_url, 1)
    dead_letters.redrive(connection, queue)
    with handling(queue, broker_url, refuse_again):
        eventually(lambda: count(channel, queue.dead) == 1)
    assert len(tries) == rabbitmq.MAX_DELIVERY_ATTEMPTS


def test_what_dies_again_meanwhile_is_not_moved_for_ever(channel, connection, queue, broker_url):
    told = let_die(channel, queue, broker_url, 20)
    with handling(queue, broker_url, refuse):
        assert dead_letters.redrive(connection, queue) == 20
        eventually(lambda: count(channel, queue.dead) == 20, seconds=30)
    assert sorted(ids_in(channel, queue.dead)) == sorted(event.id for event in told)


def test_no_more_than_asked_are_moved_the_oldest_first(channel, connection, queue):
    ids = bury(channel, queue, 5)
    assert dead_letters.redrive(connection, queue, 2) == 2
    assert ids_in(channel, queue.name) == ids[:2]
    assert dead_letters.redrive(connection, queue, 9) == 3
    assert ids_in(channel, queue.name) == ids[2:]


def test_several_at_once_move_each_once(channel, queue, broker_url):
    ids, moved = bury(channel, queue, 200), []

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


def test_whoever_is_killed_while_moving_loses_nothing(channel, connection, queue, broker_url):
    ids, moved = bury(channel, queue, 1_000), []
    for some in (1, 10, 50, 100):
        command = [sys.executable, "-c", REDRIVE, broker_url, queue.consumer]
        with subprocess.Popen(command, cwd=ROOT) as process:
            eventually(partial(has_at_least, channel, queue.name, some), seconds=30)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        moved.extend(ids_in(channel, queue.name))
    assert len(moved) < len(ids)

    def all_moved():
        dead_letters.redrive(connection, queue)
        moved.extend(ids_in(channel, queue.name))
        return set(moved) == set(ids)

    eventually(all_moved, seconds=30)
    assert len(moved) <= len(ids) + 4  # what it had in its hands may come twice


def has_at_least(channel, name, number):
    return count(channel, name) >= number


class DeletingConnection:
    """A connection on which a queue is gone right before something is published to it."""

    def __init__(self, connection):
        self._connection = connection

    def channel(self):
        channel = self._connection.channel()
        publish = channel.basic_publish

        def publish_too_late(exchange, name, *message, **how):
            channel.queue_delete(name)
            publish(exchange, name, *message, **how)

        channel.basic_publish = publish_too_late
        return channel


def test_what_no_queue_has_taken_stays_dead(channel, connection, queue):
    bury(channel, queue, 2)
    with pytest.raises(pika.exceptions.UnroutableError):
        dead_letters.redrive(DeletingConnection(connection), queue)
    eventually(lambda: count(channel, queue.dead) == 2)


def test_those_that_are_looked_at_stay_and_tell_why_they_died(
    channel, connection, queue, broker_url
):
    told = let_die(channel, queue, broker_url, 3)
    letters = dead_letters.list_dead_letters(connection, queue)
    assert [letter.event for letter in letters] == told
    assert {letter.reason for letter in letters} == {"rejected"}
    a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    assert all(letter.died_at and letter.died_at > a_minute_ago for letter in letters)
    (oldest,) = eventually(lambda: dead_letters.list_dead_letters(connection, queue, 1))
    assert oldest.event == told[0]
    eventually(lambda: count(channel, queue.dead) == 3)


def test_what_is_no_event_is_shown_as_what_nobody_can_read(channel, connection, queue):
    channel.basic_publish("", queue.dead, b"\xff")
    (letter,) = dead_letters.list_dead_letters(connection, queue)
    assert (letter.event, letter.reason, letter.died_at) == (None, "", None)
    assert letter.body == b"\xff"


def test_what_is_looked_at_often_does_not_come_back_so_often_that_it_is_dropped(
    channel, connection, queue, broker_url
):
    told, returned = let_die(channel, queue, broker_url, 2), set()
    for _ in range(3 * dead_letters.MOST_RETURNS):
        eventually(lambda: count(channel, queue.dead) == 2)
        letters = dead_letters.list_dead_letters(connection, queue)
        assert sorted(letter.body for letter in letters) == [event.data for event in told]
        returned |= {letter.headers[dead_letters.RETURNED] for letter in letters}
    assert max(returned) == dead_letters.MOST_RETURNS
    assert {letter.reason for letter in letters} == {"rejected"}


@pytest.mark.parametrize("missing", ["name", "dead"])
def test_without_one_of_the_queues_nothing_is_moved(channel, connection, queue, missing):
    bury(channel, queue, 1)
    channel.queue_delete(getattr(queue, missing))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        dead_letters.redrive(connection, queue)
    left = {"name": queue.dead, "dead": queue.name}[missing]
    assert count(channel, left) == int(missing == "name")
