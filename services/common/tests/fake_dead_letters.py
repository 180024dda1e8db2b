"""Dead letters in memory, for the tests of servicers."""

from collections.abc import Sequence

from mamie_rosa.messaging.v1 import dead_letters_pb2
from typing_extensions import override

from services.common.messaging.dead_letter_queue import DeadLetterQueue
from services.common.messaging.rabbitmq import Queue


class FakeDeadLetterQueue(DeadLetterQueue):
    """Two dead letters, until they are redriven."""

    def __init__(self) -> None:
        super().__init__("", Queue("fake", ()))
        self._ids = ["1", "2"]

    @override
    def list(self, limit: int) -> tuple[Sequence[dead_letters_pb2.DeadLetter], int]:
        found = [dead_letters_pb2.DeadLetter(event_id=each) for each in self._ids]
        return found[: limit or None], len(found)

    @override
    def redrive(self) -> int:
        moved = len(self._ids)
        self._ids.clear()
        return moved
