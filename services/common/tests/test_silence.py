"""A broker that falls silent is noticed within 10 s, by whoever waits for it."""

import time
from urllib.parse import urlsplit

import pika.exceptions
import pytest

from services.common.messaging import rabbitmq, silence
from services.common.messaging.consumer import Consumer
from services.common.messaging.events import CloudEvent
from services.common.tests.broker import build_event, running
from services.common.tests.tcp_proxy import proxy_to
from tests.support.waiting import eventually

NOTICE_SECONDS = 10


class FakeConnection:
    """A connection as the checker sees it; `check` runs the check that is due."""

    def __init__(self):
        self.bytes_received = self.bytes_sent = 0
        self.error = None
        self.delays = []

    def _adapter_call_later(self, delay, callback):
        self.delays.append(delay)
        self.check = callback
        return callback

    def _terminate_stream(self, error):
        self.error = error


@pytest.fixture
def connection():
    connection = FakeConnection()
    silence.SilenceChecker(connection, rabbitmq.HEARTBEAT_SECONDS)
    return connection


def test_silence_is_checked_each_second(connection):
    assert connection.delays[-1] == silence.CHECK_SECONDS
    connection.check()
    assert connection.delays[-1] == silence.CHECK_SECONDS


def test_the_last_of_the_silent_checks_ends_the_connection(connection):
    for _ in range(silence.SILENT_CHECKS - 1):
        connection.check()
    assert connection.error is None
    connection.check()
    assert isinstance(connection.error, pika.exceptions.AMQPHeartbeatTimeout)


def test_one_byte_is_enough_to_start_again(connection):
    for _ in range(3 * silence.SILENT_CHECKS):
        for _ in range(silence.SILENT_CHECKS - 1):
            connection.check()
        connection.bytes_received += 1
        connection.check()
    assert connection.error is None


def test_a_heartbeat_that_is_late_is_not_silence():
    assert silence.SILENT_CHECKS * silence.CHECK_SECONDS >= rabbitmq.HEARTBEAT_SECONDS + 3


@pytest.fixture
def proxy(broker_url):
    broker = urlsplit(broker_url)
    with proxy_to(broker.hostname, broker.port) as proxy:
        yield proxy


@pytest.fixture
def proxy_url(broker_url, proxy):
    return broker_url.replace(f":{urlsplit(broker_url).port}", f":{proxy.port}")


@pytest.mark.integration
def test_a_publisher_notices_that_the_broker_is_frozen(proxy, proxy_url, queue):
    with rabbitmq.connection(proxy_url, "test") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        rabbitmq.publish(channel, build_event(queue.types[0]))
        proxy.frozen.set()
        began = time.monotonic()
        with pytest.raises(pika.exceptions.AMQPHeartbeatTimeout):
            rabbitmq.publish(channel, build_event(queue.types[0]))
        assert time.monotonic() - began < NOTICE_SECONDS


@pytest.mark.integration
def test_an_idle_consumer_notices_that_the_broker_is_frozen_and_consumes_after_the_thaw(
    proxy, proxy_url, queue, channel
):
    received: list[CloudEvent] = []
    consumer = Consumer(queue=queue, handler=received.append, url=proxy_url)
    with running(consumer):
        rabbitmq.publish(channel, build_event(queue.types[0]))
        eventually(lambda: len(received) == 1)
        proxy.frozen.set()
        eventually(lambda: not consumer._loop.report().healthy, seconds=NOTICE_SECONDS)
        rabbitmq.publish(channel, build_event(queue.types[0]))
        proxy.frozen.clear()
        eventually(lambda: len(received) == 2, seconds=NOTICE_SECONDS)
