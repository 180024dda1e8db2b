"""The bus: RabbitMQ, as every publisher and consumer uses it.

    exchange mamie_rosa.events (topic)
      |-- queue of each consumer (quorum) --after 5 tries--> its dead-letter queue
      '-- mamie_rosa.log (stream): every event, kept, to be read again from the start

An event travels as a CloudEvent in binary mode: its attributes are headers with the prefix
"cloudEvents_", its data is the body, its type is the routing key. Everything is declared by
whoever needs it, again and again, so nothing has to be set up before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from services.common.errors import UnavailableError
from services.common.messaging.events import CloudEvent

EXCHANGE = "mamie_rosa.events"
EVENT_LOG = "mamie_rosa.log"
DEAD_LETTERS = "mamie_rosa.dead"
MAX_DELIVERY_ATTEMPTS = 5
"""How often a message is handed to its consumer before it is a dead letter."""
LOG_BYTES = 1024**3
HEARTBEAT_SECONDS = 30
CONTENT_TYPE = "application/protobuf"
PREFIX = "cloudEvents_"
ATTRIBUTES = ("id", "type", "source", "subject", "traceparent")


class MalformedEventError(ValueError):
    """A message lacks what makes it a CloudEvent."""


@dataclass(frozen=True)
class Queue:
    """What one consumer listens to: its name, and the types of the events it wants."""

    consumer: str
    types: Sequence[str]

    @property
    def name(self) -> str:
        """Return the name of its queue."""
        return f"mamie_rosa.{self.consumer}"

    @property
    def dead(self) -> str:
        """Return the name of its dead-letter queue."""
        return dead_letter_queue(self.consumer)


def dead_letter_queue(consumer: str) -> str:
    """Return the name of a consumer's dead-letter queue."""
    return f"mamie_rosa.{consumer}.dead"


@contextmanager
def connection(url: str, name: str) -> Iterator[pika.BlockingConnection]:
    """Yield a connection that shows `name` in the broker's pages; closed afterwards."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.blocked_connection_timeout = HEARTBEAT_SECONDS
    parameters.socket_timeout = 5
    parameters.client_properties = {"connection_name": name}
    opened = pika.BlockingConnection(parameters)
    try:
        yield opened
    finally:
        if opened.is_open:
            opened.close()


def declare_log(channel: BlockingChannel) -> None:
    """Declare the exchange, and the stream that keeps every event (the newest gigabyte)."""
    channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    stream = {"x-queue-type": "stream", "x-max-length-bytes": LOG_BYTES}
    channel.queue_declare(EVENT_LOG, durable=True, arguments=stream)
    channel.queue_bind(EVENT_LOG, EXCHANGE, routing_key="#")


def declare_queue(channel: BlockingChannel, queue: Queue) -> None:
    """Declare a consumer's queue and its dead-letter queue, and bind the types it wants.

    One of a consumer's instances is handed messages at a time, one after the other, so that
    events of one subject are handled in order.
    """
    declare_log(channel)
    channel.exchange_declare(DEAD_LETTERS, exchange_type="direct", durable=True)
    channel.queue_declare(queue.dead, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue.dead, DEAD_LETTERS, routing_key=queue.name)
    arguments = {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        # A message that kills its consumer each time is counted by the broker.
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
    """Declare a consumer's queue, so that events are kept for it before it first runs.

    UnavailableError when the broker does not answer.
    """
    try:
        with connection(url, queue.consumer) as opened:
            declare_queue(opened.channel(), queue)
    except (pika.exceptions.AMQPError, OSError) as error:
        raise UnavailableError("RabbitMQ does not answer.") from error


def publish(channel: BlockingChannel, event: CloudEvent) -> None:
    """Publish an event; on a channel with confirms it is on the disks of the broker then.

    pika.exceptions.UnroutableError when nobody keeps it, NackError when the broker cannot.
    """
    channel.basic_publish(
        EXCHANGE, event.type, event.data, properties=_properties(event), mandatory=True
    )


def _properties(event: CloudEvent) -> pika.BasicProperties:
    attributes = {PREFIX + name: getattr(event, name) for name in ATTRIBUTES}
    return pika.BasicProperties(
        content_type=CONTENT_TYPE,
        delivery_mode=pika.DeliveryMode.Persistent,
        message_id=event.id,
        headers=attributes
        | {PREFIX + "specversion": "1.0", PREFIX + "time": event.time.isoformat()},
    )


def read_event(properties: pika.BasicProperties, body: bytes) -> CloudEvent:
    """Return the event that a message carries; MalformedEventError when it is none."""
    headers = properties.headers or {}
    try:
        attributes = {name: headers[PREFIX + name] for name in ATTRIBUTES}
        moment = datetime.fromisoformat(headers[PREFIX + "time"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEventError(f"not a CloudEvent: {error!r}") from error
    return CloudEvent(time=moment, data=body, **attributes)
