"""The event log and recorded answers, sorted by order on disk: both may be larger than memory."""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from mamie_rosa.events.v1 import events_pb2
from pika.adapters.blocking_connection import BlockingChannel

from scripts.verification.facts import KeyedAnswer, Published
from services.common.messaging import event_log, rabbitmq
from services.orders.placing.checkout import ORDERS_BY_KEY

NAMES = {
    message.DESCRIPTOR.full_name: message.DESCRIPTOR.name
    for message in (events_pb2.OrderCreated, events_pb2.OrderCancelled)
}
EARLIEST = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class AnswersError(Exception):
    """A file of answers cannot be read; the message names the line."""


class Sorted:
    """A table on disk that is deleted when it is closed: rows in, rows out in order."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._table = sqlite3.connect("")  # a file without a name
        self._table.execute("CREATE TABLE rows (order_id TEXT, facts TEXT)")
        self._table.executemany("INSERT INTO rows VALUES (?, ?)", rows)

    def close(self) -> None:
        """Delete the table."""
        self._table.close()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield (order id, facts) in the order of the ids; what was inserted first is first."""
        for order_id, facts in self._table.execute(
            "SELECT order_id, facts FROM rows ORDER BY order_id, rowid"
        ):
            yield order_id, json.loads(facts)


class PublishedEvents:
    """The events about orders that the log has; `begins` is since when it has all."""

    def __init__(self, url: str) -> None:
        self.begins = EARLIEST
        is_whole = _is_whole(url)
        with rabbitmq.connection(url, "verify") as connection:
            self._sorted = Sorted(self._read(connection.channel(), is_whole=is_whole))

    def close(self) -> None:
        """Delete the copy."""
        self._sorted.close()

    def _read(self, channel: BlockingChannel, *, is_whole: bool) -> Iterator[tuple[str, str]]:
        for number, event in enumerate(event_log.read_until_now(channel, NAMES)):
            if not is_whole and number == 0:
                self.begins = event.time
            facts = [event.id, NAMES[event.type], event.time.isoformat()]
            yield event.subject, json.dumps(facts)

    def __iter__(self) -> Iterator[Published]:
        """Yield the events in the order of their orders."""
        for order_id, (event_id, name, time) in self._sorted:
            moment = datetime.fromisoformat(time)
            yield Published(order_id=order_id, event_id=event_id, name=name, time=moment)


def _is_whole(url: str) -> bool:
    """Return whether the log has all events; on a connection that is broken afterwards."""
    try:
        with rabbitmq.connection(url, "verify") as connection:
            event_log.require_whole(connection.channel())
    except event_log.LogTruncatedError:
        return False
    return True


class RecordedAnswers:
    """The answers of a file, one in a line of JSON:

    {"userId": "...", "key": "...", "body": "...", "at": 1.5, "status": 201, "orderId": "..."}

    `orderId` and `reason` may be missing; `status` is 0 when no answer came.
    """

    def __init__(self, file: Path | None) -> None:
        self._sorted = Sorted(_read_lines(file) if file else ())

    def close(self) -> None:
        """Delete the copy."""
        self._sorted.close()

    def __iter__(self) -> Iterator[KeyedAnswer]:
        """Yield the answers in the order of the orders that their keys stand for."""
        for order_id, facts in self._sorted:
            yield KeyedAnswer(
                order_id=order_id,
                body=str(facts["body"]),
                at=float(facts["at"]),
                status=int(facts["status"]),
                placed_id=facts.get("orderId", ""),
                reason=facts.get("reason", ""),
            )


def order_of_key(user_id: str, key: str) -> str:
    """Return the id of the order that a customer's key stands for."""
    return str(uuid.uuid5(ORDERS_BY_KEY, f"{user_id}\n{key}"))


def _read_lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield _read_line(file, number, line), line
    except OSError as error:
        raise AnswersError(f"{file}: {error.strerror}") from error


def _read_line(file: Path, number: int, line: str) -> str:
    try:
        facts = json.loads(line)
        float(facts["at"]), int(facts["status"]), str(facts["body"])
        return order_of_key(facts["userId"], facts["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise AnswersError(f"{file}, line {number}: not an answer: {error!r}") from error
