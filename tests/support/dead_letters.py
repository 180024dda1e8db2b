"""The dead letters of one consumer that belong to one test."""

from dataclasses import dataclass

import pika

from services.common.messaging import dead_letters, rabbitmq
from tests.support.waiting import eventually


@dataclass(frozen=True)
class OwnDeadLetters:
    """Dead letters whose message ids begin with `prefix`, among all of a consumer."""

    connection: pika.BlockingConnection
    queue: rabbitmq.Queue
    prefix: str

    def ids(self) -> list[str]:
        """Return their message ids, each as often as it is there."""
        letters = dead_letters.list_dead_letters(self.connection, self.queue)
        ids = (letter.properties.message_id or "" for letter in letters)
        return sorted(message_id for message_id in ids if message_id.startswith(self.prefix))

    def total(self) -> int:
        """Return the number of dead letters of the consumer, those of other tests included."""
        with self.connection.channel() as channel:
            declared = channel.queue_declare(self.queue.dead, passive=True)
        return int(declared.method.message_count)

    def discard(self) -> None:
        """Remove them from the queue."""
        eventually(lambda: self._discard_visible() == 0, seconds=30)

    def _discard_visible(self) -> int:
        found = 0
        with self.connection.channel() as channel:
            for _ in range(self.total()):
                method, properties, _ = channel.basic_get(self.queue.dead)
                if method and (properties.message_id or "").startswith(self.prefix):
                    channel.basic_ack(method.delivery_tag)
                    found += 1
        return found
