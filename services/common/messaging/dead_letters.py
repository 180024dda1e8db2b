"""Dead letters: list those of a consumer, and redrive them.

A message is deleted only after its copy is on disk. A process that is killed in between leaves
it in both queues; consumers process an event once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.common.messaging.rabbitmq import BROKER_HEADER_PREFIX, DELIVERY_COUNT

MAX_DELIVERY_COUNT = 10
"""The delivery count at which listing replaces a message by a new copy. Brokers drop a message
that was delivered too often: RabbitMQ 4 after 20 times."""


@dataclass(frozen=True)
class DeadLetter:
    """A message in a dead-letter queue."""

    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, including those of the broker."""
        return self.properties.headers or {}

    @property
    def event(self) -> CloudEvent | None:
        """The event; None when the message is malformed."""
        try:
            return rabbitmq.read_event(self.properties, self.body)
        except rabbitmq.MalformedEventError:
            return None

    @property
    def reason(self) -> str:
        """The broker's reason for the death, such as "rejected"; "" if unknown."""
        return self._death.get("reason", "")

    @property
    def died_at(self) -> datetime | None:
        """The time of the death, if known."""
        return self._death.get("time")

    @property
    def _death(self) -> dict[str, Any]:
        latest, *_ = self.headers.get("x-death") or [{}]
        return latest


def count_dead_letters(connection: pika.BlockingConnection, queue: rabbitmq.Queue) -> int:
    """Return how many dead letters a consumer has."""
    with connection.channel() as channel:
        return _count(channel, queue.dead)


def list_dead_letters(
    connection: pika.BlockingConnection, queue: rabbitmq.Queue, limit: int | None = None
) -> list[DeadLetter]:
    """List the oldest dead letters of a consumer; they stay in the queue, hidden meanwhile."""
    with _confirming(connection) as channel:
        letters = list(_take(channel, queue.dead, limit))
        for letter in letters:
            if letter.headers.get(DELIVERY_COUNT, 0) >= MAX_DELIVERY_COUNT:
                _move(channel, letter, queue.dead, without_prefix=DELIVERY_COUNT)
        return letters


def redrive(
    connection: pika.BlockingConnection, queue: rabbitmq.Queue, limit: int | None = None
) -> int:
    """Move dead letters back to their consumer's queue, the oldest first; return how many.

    Each gets all its attempts again. Only messages that were dead at the start are moved, so
    that a message that dies each time does not keep the loop running.
    """
    moved = 0
    with _confirming(connection) as channel:
        _count(channel, queue.name)
        for letter in _take(channel, queue.dead, limit):
            _move(channel, letter, queue.name, without_prefix=BROKER_HEADER_PREFIX)
            moved += 1
    return moved


@contextmanager
def _confirming(connection: pika.BlockingConnection) -> Iterator[BlockingChannel]:
    """Open a channel with publisher confirms; closing it requeues unacknowledged messages."""
    with connection.channel() as channel:
        channel.confirm_delivery()
        yield channel


def _take(channel: BlockingChannel, name: str, limit: int | None) -> Iterator[DeadLetter]:
    """Yield the oldest of the messages that are in a queue now."""
    count = _count(channel, name)
    for _ in range(count if limit is None else min(limit, count)):
        method, properties, body = channel.basic_get(name)
        if method is None:
            return
        yield DeadLetter(method.delivery_tag, properties, body)


def _count(channel: BlockingChannel, name: str) -> int:
    """Count the messages of a queue; ChannelClosedByBroker when it does not exist."""
    return channel.queue_declare(name, passive=True).method.message_count


def _move(channel: BlockingChannel, letter: DeadLetter, name: str, *, without_prefix: str) -> None:
    """Publish a copy of a message to a queue, without some headers, then delete the message."""
    properties = copy(letter.properties)
    properties.headers = {
        name: value for name, value in letter.headers.items() if not name.startswith(without_prefix)
    }
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    channel.basic_publish("", name, letter.body, properties, mandatory=True)
    channel.basic_ack(letter.tag)
