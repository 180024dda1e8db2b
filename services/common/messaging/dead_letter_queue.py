"""The dead letters of one consumer, as its service shows and redrives them for administrators."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pika
import pika.exceptions
from mamie_rosa.messaging.v1 import dead_letters_pb2

from services.common.errors import UnavailableError
from services.common.messaging import dead_letters, rabbitmq
from services.common.messaging.dead_letters import DeadLetter
from services.common.rpc.timestamps import to_timestamp

DEFAULT_LIMIT = 20
MAX_REDRIVEN = 1_000
"""How many are sent again at once: what the deadline of a call allows."""


class BusUnavailableError(UnavailableError):
    """The message bus does not answer; nothing is lost."""

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The message bus does not answer; try again.", service="rabbitmq")


class DeadLetterQueue:
    """The dead-letter queue of a consumer; connects for each call, since calls are rare.

    BusUnavailableError when the broker does not answer.
    """

    def __init__(self, url: str, queue: rabbitmq.Queue) -> None:
        self._url = url
        self._queue = queue

    def list(self, limit: int) -> tuple[Sequence[dead_letters_pb2.DeadLetter], int]:
        """Return the oldest dead letters, and how many there are; they stay where they are.

        `limit` 0 means DEFAULT_LIMIT.
        """
        with self._connection() as connection:
            total = dead_letters.count_dead_letters(connection, self._queue)
            found = dead_letters.list_dead_letters(connection, self._queue, limit or DEFAULT_LIMIT)
        return [_render(letter) for letter in found], total

    def redrive(self) -> int:
        """Send the oldest dead letters, up to MAX_REDRIVEN, to their consumer again; count them."""
        with self._connection() as connection:
            return dead_letters.redrive(connection, self._queue, MAX_REDRIVEN)

    @contextmanager
    def _connection(self) -> Iterator[pika.BlockingConnection]:
        try:
            with rabbitmq.connection(self._url, "dead-letters") as connection:
                yield connection
        except (pika.exceptions.AMQPError, OSError) as error:
            raise BusUnavailableError from error


def _render(letter: DeadLetter) -> dead_letters_pb2.DeadLetter:
    event = letter.event
    return dead_letters_pb2.DeadLetter(
        event_id=event.id if event else "",
        type=event.type if event else "",
        subject=event.subject if event else "",
        reason=letter.reason,
        died_at=to_timestamp(letter.died_at) if letter.died_at else None,
    )
