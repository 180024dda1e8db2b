"""The bus: the topology of RabbitMQ and the format of its messages.

    exchange mamie_rosa.events (topic)
      |-- queue of each consumer (quorum) --after 5 attempts--> its dead-letter queue
      '-- mamie_rosa.log (stream): every event, to be replayed from the start

An event is sent as a CloudEvent in binary mode: its attributes are headers with the prefix
"cloudEvents_", its data is the body, its type is the routing key. Publishers and consumers
declare what they use each time they connect; declarations are idempotent. Publishers also
declare the queues of all consumers (services.common.messaging.queues): an event reaches a
consumer that has not started, or whose queue was deleted.

A peer that hangs is noticed like one that is dead: by heartbeats and TCP timeouts, on both
sides, within 10 s.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from services.common.errors import UnavailableError
from services.common.messaging import silence
from services.common.messaging.events import CloudEvent

EXCHANGE = "mamie_rosa.events"
EVENT_LOG = "mamie_rosa.log"
DEAD_LETTERS = "mamie_rosa.dead"
MAX_DELIVERY_ATTEMPTS = 5
"""How often a message is delivered before it becomes a dead letter."""
LOG_BYTES = 1024**3
HEARTBEAT_SECONDS = 4
"""The broker drops a silent client after 8 s, and a client a silent broker (silence.py)."""
TIMEOUT_SECONDS = 8
"""How long it takes at most to connect, and how long the broker may hold up a publisher."""
TCP_OPTIONS = {
    "TCP_KEEPIDLE": 3,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 9_000,
}
TRANSIENT_ERRORS = (pika.exceptions.AMQPError, UnavailableError, OSError)
"""What is raised while the broker, or a store, is unavailable."""
BROKER_HEADER_PREFIX = "x-"
"""The prefix of the headers in which the broker records deaths and deliveries."""
DELIVERY_COUNT = "x-delivery-count"
CONTENT_TYPE = "application/protobuf"
PREFIX = "cloudEvents_"
ATTRIBUTES = ("id", "type", "source", "subject", "traceparent")


class MalformedEventError(ValueError):
    """A message is not a valid CloudEvent."""


@dataclass(frozen=True)
class Queue:
    """The queue of a consumer, and the event types that it subscribes to."""

    consumer: str
    types: Sequence[str]

    @property
    def name(self) -> str:
        """The name of the queue."""
        return f"mamie_rosa.{self.consumer}"

    @property
    def dead(self) -> str:
        """The name of the dead-letter queue."""
        return dead_letter_queue(self.consumer)


def dead_letter_queue(consumer: str) -> str:
    """Return the name of a consumer's dead-letter queue."""
    return f"mamie_rosa.{consumer}.dead"


class ConsumerCancelledError(pika.exceptions.AMQPError):
    """The broker has cancelled a consumer, usually because its queue was deleted."""


@contextmanager
def connection(url: str, name: str) -> Iterator[pika.BlockingConnection]:
    """Open a connection that RabbitMQ's management pages show as `name`.

    pika.exceptions.AMQPError or OSError when the broker does not answer.
    """
    opened = _connect(url, name)
    try:
        yield opened
    finally:
        if opened.is_open:
            opened.close()


def _connect(url: str, name: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.blocked_connection_timeout = TIMEOUT_SECONDS
    parameters.stack_timeout = TIMEOUT_SECONDS
    parameters.socket_timeout = TIMEOUT_SECONDS / 2
    parameters.tcp_options = TCP_OPTIONS
    parameters.client_properties = {"connection_name": name}
    try:
        return silence.connect(parameters)
    except AMQPConnectorException as error:  # a broker that accepts and says nothing
        raise pika.exceptions.AMQPConnectionError(repr(error)) from error


def declare_log(channel: BlockingChannel) -> None:
    """Declare the exchange and the event log, a stream that keeps the newest gigabyte."""
    channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    stream = {"x-queue-type": "stream", "x-max-length-bytes": LOG_BYTES}
    channel.queue_declare(EVENT_LOG, durable=True, arguments=stream)
    channel.queue_bind(EVENT_LOG, EXCHANGE, routing_key="#")


def declare_queue(channel: BlockingChannel, queue: Queue) -> None:
    """Declare a consumer's queue and its dead-letter queue, and bind its event types.

    Only one instance of a consumer gets messages at a time, so that the events of a subject
    are processed in order.
    """
    declare_log(channel)
    channel.exchange_declare(DEAD_LETTERS, exchange_type="direct", durable=True)
    channel.queue_declare(queue.dead, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue.dead, DEAD_LETTERS, routing_key=queue.name)
    arguments = {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        # The broker counts deliveries, also of a message that kills its consumer each time.
        "x-delivery-limit": MAX_DELIVERY_ATTEMPTS - 1,
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": queue.name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    channel.queue_declare(queue.name, durable=True, arguments=arguments)
    for event_type in queue.types:
        channel.queue_bind(queue.name, EXCHANGE, routing_key=event_type)


def declare(url: str, queue: Queue) -> None:
    """Declare a consumer's queue, so that it gets the events from before its first start.

    UnavailableError when the broker does not answer.
    """
    try:
        with connection(url, queue.consumer) as opened:
            declare_queue(opened.channel(), queue)
    except TRANSIENT_ERRORS as error:
        raise UnavailableError("RabbitMQ does not answer.") from error


def publish(channel: BlockingChannel, event: CloudEvent) -> None:
    """Publish an event; on a channel with confirms, wait until the broker has it on disk.

    pika.exceptions.UnroutableError when no queue takes it, NackError when the broker rejects it.
    """
    channel.basic_publish(
        EXCHANGE, event.type, event.data, properties=build_properties(event), mandatory=True
    )


def build_properties(event: CloudEvent) -> pika.BasicProperties:
    """Build the properties of an event's message."""
    attributes = {PREFIX + name: getattr(event, name) for name in ATTRIBUTES}
    return pika.BasicProperties(
        content_type=CONTENT_TYPE,
        delivery_mode=pika.DeliveryMode.Persistent,
        message_id=event.id,
        headers=attributes
        | {PREFIX + "specversion": "1.0", PREFIX + "time": event.time.isoformat()},
    )


def read_event(properties: pika.BasicProperties, body: bytes) -> CloudEvent:
    """Read an event from a message; MalformedEventError when it is invalid."""
    headers = properties.headers or {}
    try:
        attributes = {name: headers[PREFIX + name] for name in ATTRIBUTES}
        moment = datetime.fromisoformat(headers[PREFIX + "time"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEventError(f"not a CloudEvent: {error!r}") from error
    return CloudEvent(time=moment, data=body, **attributes)
