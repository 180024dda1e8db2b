"""The bus on a real RabbitMQ: at least once, in order, five attempts, nothing lost."""

import threading
from contextlib import contextmanager

import pika
import pika.exceptions
import pytest

from services.common.errors import StoreUnavailableError, UnavailableError
from services.common.messaging import queues, rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox, OutboxRelay
from services.common.tests.broker import build_event, count, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


def events() -> list[CloudEvent]:
    return []


def test_an_event_is_received_as_it_was_published(channel, queue, broker_url):
    sent, received = build_event(queue.types[0], traceparent="00-a-b-01"), events()
    with running(Consumer(queue=queue, handler=received.append, url=broker_url)):
        rabbitmq.publish(channel, sent)
        eventually(lambda: received)
    assert received == [sent]


def test_every_event_is_in_the_event_log(channel, queue):
    sent = build_event(queue.types[0])
    rabbitmq.publish(channel, sent)
    channel.basic_qos(prefetch_count=100)
    for method, properties, body in channel.consume(
        rabbitmq.EVENT_LOG, arguments={"x-stream-offset": "first"}, inactivity_timeout=5
    ):
        assert method, "the log ended without the event"
        channel.basic_ack(method.delivery_tag)
        if properties.message_id == sent.id:
            assert rabbitmq.read_event(properties, body) == sent
            break
    channel.cancel()


def test_an_event_that_fails_is_a_dead_letter_after_exactly_five_attempts(
    channel, queue, broker_url
):
    attempts, processed = [], []

    def handle(event):
        if event.data == b"poison":
            attempts.append(event.id)
            raise ValueError("poison")
        processed.append(event.data)

    with running(Consumer(queue=queue, handler=handle, url=broker_url)):
        rabbitmq.publish(channel, build_event(queue.types[0], data=b"poison"))
        for number in range(20):
            rabbitmq.publish(channel, build_event(queue.types[0], number))
        eventually(lambda: count(channel, queue.dead) == 1)
        eventually(lambda: len(processed) == 20)
    assert len(attempts) == 5
    assert processed == [str(number).encode() for number in range(20)]
    assert count(channel, queue.name) == 0


def test_a_malformed_message_becomes_a_dead_letter(channel, queue, broker_url):
    properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    with running(Consumer(queue=queue, handler=lambda _event: None, url=broker_url)):
        channel.basic_publish(
            rabbitmq.EXCHANGE, queue.types[0], b"\xff", properties, mandatory=True
        )
        eventually(lambda: count(channel, queue.dead) == 1)


def test_a_message_that_kills_its_consumer_is_delivered_five_times(channel, queue, broker_url):
    rabbitmq.publish(channel, build_event(queue.types[0]))
    deaths = 0
    while count(channel, queue.dead) == 0:
        with rabbitmq.connection(broker_url, "dying") as connection:
            consumed = connection.channel().consume(queue.name, inactivity_timeout=1)
            deaths += next(consumed)[0] is not None
    assert deaths == 5


def test_an_unavailable_dependency_is_waited_for_and_not_counted_as_an_attempt(
    channel, queue, broker_url
):
    attempts = []

    def handle(event):
        attempts.append(event.id)
        if len(attempts) == 1:
            raise StoreUnavailableError

    with running(Consumer(queue=queue, handler=handle, url=broker_url)):
        rabbitmq.publish(channel, build_event(queue.types[0]))
        eventually(lambda: len(attempts) == 2)
    assert count(channel, queue.dead) == 0


def test_a_message_without_a_queue_is_not_confirmed(channel):
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "no-such-queue", b"", mandatory=True)


class InMemoryOutbox(Outbox):
    """An outbox in a list, which one relay at a time can take from."""

    def __init__(self, events):
        self.events = list(events)
        self._taken = threading.Lock()

    @contextmanager
    def take(self, limit):
        if not self._taken.acquire(blocking=False):
            yield []
            return
        try:
            batch = self.events[:limit]
            yield batch
            del self.events[: len(batch)]
        finally:
            self._taken.release()


def test_two_relays_publish_every_event_once_and_in_order(queue, broker_url):
    sent = [build_event(queue.types[0], number) for number in range(300)]
    outbox, received = InMemoryOutbox(sent), events()
    relays = [OutboxRelay(outbox=outbox, url=broker_url, name=f"test-{n}") for n in (1, 2)]
    with (
        running(Consumer(queue=queue, handler=received.append, url=broker_url)),
        running(relays[0]),
        running(relays[1]),
    ):
        eventually(lambda: len(received) >= 300, seconds=20)
    assert received == sent
    assert outbox.events == []


def test_a_relay_keeps_the_events_while_the_broker_is_unavailable(queue):
    outbox = InMemoryOutbox([build_event(queue.types[0])])
    relay = OutboxRelay(outbox=outbox, url="amqp://guest:guest@127.0.0.1:1/%2F", name="test")
    with running(relay):
        assert len(outbox.events) == 1


def test_declaring_a_queue_at_an_unavailable_broker_is_unavailable():
    nowhere = "amqp://guest:guest@127.0.0.1:1/%2F"
    with pytest.raises(UnavailableError):
        rabbitmq.declare(nowhere, rabbitmq.Queue("test", []))


def test_a_consumer_whose_queue_is_deleted_declares_it_again(channel, queue, broker_url):
    received = events()
    with running(Consumer(queue=queue, handler=received.append, url=broker_url)):
        rabbitmq.publish(channel, build_event(queue.types[0], 1))
        eventually(lambda: len(received) == 1)
        channel.queue_delete(queue.name)
        eventually(lambda: exists(broker_url, queue.name))

        def is_received_again():
            rabbitmq.publish(channel, build_event(queue.types[0], 2))
            return len(received) > 1

        eventually(is_received_again)  # it is bound a moment after it is declared


def exists(url, name):
    with rabbitmq.connection(url, "test") as connection:
        try:
            connection.channel().queue_declare(name, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True


def test_stops_during_an_outage_make_no_dead_letter(channel, queue, broker_url):
    sent, received = build_event(queue.types[0]), events()
    rabbitmq.publish(channel, sent)
    for _ in range(7):
        waiting = threading.Event()

        def wait(_event, waiting=waiting):
            waiting.set()
            raise StoreUnavailableError

        with running(Consumer(queue=queue, handler=wait, url=broker_url)):
            assert waiting.wait(10)
    with running(Consumer(queue=queue, handler=received.append, url=broker_url)):
        eventually(lambda: received == [sent])
    assert count(channel, queue.dead) == 0
    assert count(channel, queue.name) == 0


def test_during_a_long_outage_the_broker_has_its_message_back(channel, queue, broker_url):
    available, received = threading.Event(), events()

    def handle(event):
        if not available.is_set():
            raise StoreUnavailableError
        received.append(event)

    sent = [build_event(queue.types[0], number) for number in range(3)]
    consumer = Consumer(queue=queue, handler=handle, url=broker_url, hold_seconds=0.1)
    with running(consumer):
        for event in sent:
            rabbitmq.publish(channel, event)
        eventually(lambda: not consumer._loop.report().healthy)
        eventually(lambda: count(channel, queue.name) == 3)
        available.set()
        # The first was handled while the broker had it: it is delivered once more.
        eventually(lambda: received == [sent[0], *sent])
        eventually(lambda: consumer._loop.report().healthy)
    assert count(channel, queue.dead) == 0


def test_a_publisher_declares_the_queue_of_every_consumer(broker_url):
    with running(OutboxRelay(outbox=InMemoryOutbox([]), url=broker_url, name="test")) as relay:
        eventually(lambda: relay._loop.report().text.startswith("ok"))
        eventually(lambda: all(exists(broker_url, each.name) for each in queues.ALL))
