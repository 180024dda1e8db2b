"""Dead letters: what a consumer has given up, to be looked at, and to be handed to it again.

Nothing here takes a message away before it is kept elsewhere. Whoever is killed in between
leaves it in both places; consumers remember events and handle each once.
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

BROKERS_OWN = "x-"
"""What the names of headers begin with in which the broker keeps deaths and deliveries."""
RETURNED = "x-delivery-count"
MOST_RETURNS = 10
"""How often a message is put back. Some brokers drop one that comes back too often: RabbitMQ 4
does after 20 times."""


@dataclass(frozen=True)
class DeadLetter:
    """A message in a dead-letter queue."""

    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """Return its headers, the broker's own among them."""
        return self.properties.headers or {}

    @property
    def event(self) -> CloudEvent | None:
        """Return the event that it is, None when nobody can read it."""
        try:
            return rabbitmq.read_event(self.properties, self.body)
        except rabbitmq.MalformedEventError:
            return None

    @property
    def reason(self) -> str:
        """Return why the broker took it out of its queue, in the broker's word; "" if untold."""
        return self._death.get("reason", "")

    @property
    def died_at(self) -> datetime | None:
        """Return when it did, if that is told."""
        return self._death.get("time")

    @property
    def _death(self) -> dict[str, Any]:
        latest, *_ = self.headers.get("x-death") or [{}]
        return latest


def list_dead_letters(
    connection: pika.BlockingConnection, queue: rabbitmq.Queue, limit: int | None = None
) -> list[DeadLetter]:
    """Return the oldest dead letters of a consumer. They stay, but for this moment are hidden."""
    with _confirming(connection) as channel:
        letters = list(_take(channel, queue.dead, limit))
        for letter in letters:
            if letter.headers.get(RETURNED, 0) >= MOST_RETURNS:
                _move(channel, letter, queue.dead, without=RETURNED)
        return letters


def redrive(
    connection: pika.BlockingConnection, queue: rabbitmq.Queue, limit: int | None = None
) -> int:
    """Hand dead letters to their consumer again, the oldest first; return how many.

    Each has all its tries again. Those that were there in the beginning are moved, and none
    that dies meanwhile: what always dies would be moved for ever.
    """
    moved = 0
    with _confirming(connection) as channel:
        _count(channel, queue.name)
        for letter in _take(channel, queue.dead, limit):
            _move(channel, letter, queue.name, without=BROKERS_OWN)
            moved += 1
    return moved


@contextmanager
def _confirming(connection: pika.BlockingConnection) -> Iterator[BlockingChannel]:
    """Yield a channel on which what was published is on disk; what was only taken goes back."""
    with connection.channel() as channel:
        channel.confirm_delivery()
        yield channel


def _take(channel: BlockingChannel, name: str, limit: int | None) -> Iterator[DeadLetter]:
    """Yield the oldest of the messages that are in a queue now, until it has no more."""
    count = _count(channel, name)
    for _ in range(count if limit is None else min(limit, count)):
        method, properties, body = channel.basic_get(name)
        if method is None:
            return
        yield DeadLetter(method.delivery_tag, properties, body)


def _count(channel: BlockingChannel, name: str) -> int:
    """Return how many messages a queue has; ChannelClosedByBroker when there is no such queue."""
    return channel.queue_declare(name, passive=True).method.message_count


def _move(channel: BlockingChannel, letter: DeadLetter, name: str, *, without: str) -> None:
    """Put a message into a queue, without some headers, and only then take it from its own."""
    properties = copy(letter.properties)
    headers = {key: value for key, value in letter.headers.items() if not key.startswith(without)}
    properties.headers = headers
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    channel.basic_publish("", name, letter.body, properties, mandatory=True)
    channel.basic_ack(letter.tag)
