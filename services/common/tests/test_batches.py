"""Consuming in batches, on a real RabbitMQ."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from services.common.errors import StoreUnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Batches, Consumer
from services.common.tests.broker import build_event, count, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

DYING = """
import os, signal, sys
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Batches, Consumer
def handle(event):
    if event.data == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
queue = rabbitmq.Queue(consumer=sys.argv[2], types=(sys.argv[3],))
batches = Batches(handler=lambda events: [handle(event) for event in events], window_seconds=0.1)
Consumer(queue=queue, handler=handle, url=sys.argv[1], batches=batches).start()
signal.pause()
"""


class Received:
    """Records batches; `poison` are the data that fail."""

    def __init__(self):
        self.batches = []
        self.poison = set()
        self.is_unavailable = threading.Event()

    def handle_all(self, events):
        if self.is_unavailable.is_set():
            raise StoreUnavailableError
        self.batches.append([event.data for event in events])
        if self.poison & {event.data for event in events}:
            raise ValueError("poison")

    def handle(self, event):
        self.handle_all([event])

    @property
    def handled(self):
        return [data for batch in self.batches for data in batch]


@pytest.fixture
def received():
    return Received()


def consumer(queue, url, received, **options):
    batches = Batches(handler=received.handle_all, window_seconds=0.2)
    return Consumer(queue=queue, handler=received.handle, url=url, batches=batches, **options)


def publish(channel, queue, numbers):
    for number in numbers:
        rabbitmq.publish(channel, build_event(queue.types[0], number))


def data(numbers):
    return [str(number).encode() for number in numbers]


def test_after_a_first_success_events_come_in_batches_and_in_order(
    channel, queue, broker_url, received
):
    publish(channel, queue, range(60))
    with running(consumer(queue, broker_url, received)):
        eventually(lambda: len(received.handled) == 60)
    assert received.handled == data(range(60))
    assert len(received.batches[0]) == 1
    assert max(map(len, received.batches)) == 20
    assert count(channel, queue.name) == count(channel, queue.dead) == 0


def test_events_of_a_window_are_one_batch(channel, queue, broker_url, received):
    with running(consumer(queue, broker_url, received)):
        publish(channel, queue, [0])
        eventually(lambda: received.batches)
        publish(channel, queue, range(1, 6))
        eventually(lambda: len(received.handled) == 6)
        assert len(received.batches) <= 4


def test_an_event_that_fails_becomes_a_dead_letter_alone(channel, queue, broker_url, received):
    received.poison = {b"7"}
    publish(channel, queue, range(20))
    with running(consumer(queue, broker_url, received)):
        eventually(lambda: count(channel, queue.dead) == 1)
        eventually(lambda: set(received.handled) == set(data(range(20))))
        eventually(lambda: count(channel, queue.name) == 0)
    assert received.batches.count([b"7"]) == 5


def test_events_of_a_batch_that_is_interrupted_are_kept(channel, queue, broker_url, received):
    publish(channel, queue, [0])
    with running(consumer(queue, broker_url, received)) as stopped:
        eventually(lambda: received.batches)
        eventually(lambda: stopped._prefetch > 1)
        received.is_unavailable.set()
        publish(channel, queue, range(1, 30))
    received.is_unavailable.clear()
    with running(consumer(queue, broker_url, received)):
        eventually(lambda: set(received.handled) == set(data(range(30))))
    assert count(channel, queue.dead) == 0


def test_a_message_that_kills_its_consumer_becomes_a_dead_letter_alone(
    channel, queue, broker_url, received
):
    rabbitmq.publish(channel, build_event(queue.types[0], data=b"first"))
    deadly = [build_event(queue.types[0], data=b"deadly")]
    for event in [build_event(queue.types[0], 1), *deadly, build_event(queue.types[0], 2)]:
        rabbitmq.publish(channel, event)
    command = [sys.executable, "-c", DYING, broker_url, queue.consumer, queue.types[0]]
    deaths = 0
    while count(channel, queue.dead) == 0:
        process = subprocess.Popen(command, env=os.environ)
        try:
            eventually(
                lambda p=process: p.poll() is not None or count(channel, queue.dead), seconds=30
            )
        finally:
            process.kill()
            deaths += process.wait() == -signal.SIGKILL
    with running(consumer(queue, broker_url, received)):
        eventually(lambda: count(channel, queue.name) == 0)
    assert count(channel, queue.dead) == 1
