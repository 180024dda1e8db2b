"""The event log, as a program reads it once: from its start, or from a moment, until now.

"Now" is a bookmark that is published when the reading begins; events behind it reach the
consumers themselves.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime

import structlog
from pika import BasicProperties, BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ConnectionClosedByBroker

from services.common.clock import new_id, utc_now
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent

BOOKMARK = "mamie_rosa.log.Bookmark"
PREFETCH_COUNT = 500
OFFSET = "x-stream-offset"
FIRST = "first"
RETRY_DELAY_SECONDS = 1.0

Connect = Callable[[str, str], AbstractContextManager[BlockingConnection]]
"""Connects to the bus of a URL, under a name."""

log = structlog.get_logger()


class LogTruncatedError(Exception):
    """The log begins after the first event, or holds none; `offset` is where it begins."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the log begins at offset {offset}")
        self.offset = offset


def require_whole(channel: BlockingChannel, since: datetime | None = None) -> None:
    """Raise LogTruncatedError unless the log has all events, or all since a moment.

    Closes the channel.
    """
    bookmark = _publish_bookmark(channel)  # so that there is something to read
    channel.basic_qos(prefetch_count=1)
    _, first, body = next(channel.consume(rabbitmq.EVENT_LOG, arguments={OFFSET: FIRST}))
    offset = _offset(first)
    is_whole = not offset and first.message_id != bookmark.id
    if not is_whole and not (since and _is_before(first, body, since)):
        raise LogTruncatedError(offset)
    _stop_reading(channel)


def _is_before(properties: BasicProperties, body: bytes, since: datetime) -> bool:
    try:
        return rabbitmq.read_event(properties, body).time <= since
    except rabbitmq.MalformedEventError:
        return False


def read_until_now(
    channel: BlockingChannel, types: Collection[str], *, since: datetime | None = None
) -> Iterator[CloudEvent]:
    """Yield the events of some types, from a moment or the oldest in the log, until now.

    What is no event is skipped.
    """
    bookmark = _publish_bookmark(channel)
    for event in _read(channel, since or FIRST):
        if event.id == bookmark.id:
            _stop_reading(channel)
            return
        # The broker begins with the chunk in which a moment is.
        if event.type in types and (since is None or event.time >= since):
            yield event


def apply_all(
    events: Iterable[CloudEvent],
    handle: Callable[[CloudEvent], object],
    *,
    invalid: tuple[type[Exception], ...],
) -> int:
    """Handle events, and return their number without the invalid ones, which are skipped.

    `invalid` are the errors of the handler for those: a consumer has them as dead letters.
    """
    return sum(_is_applied(event, handle, invalid) for event in events)


def _is_applied(
    event: CloudEvent,
    handle: Callable[[CloudEvent], object],
    invalid: tuple[type[Exception], ...],
) -> bool:
    try:
        retry_while_unavailable(lambda: handle(event))
    except invalid as error:
        log.warning("event_skipped", event_id=event.id, error=repr(error))
        return False
    return True


def retry_while_unavailable(change: Callable[[], object]) -> None:
    """Change a store; retry while it is unavailable."""
    while True:
        try:
            change()
            return
        except UnavailableError as error:
            log.warning("rebuild_retrying", reason=error.reason)
            threading.Event().wait(RETRY_DELAY_SECONDS)


def _publish_bookmark(channel: BlockingChannel) -> CloudEvent:
    channel.confirm_delivery()
    bookmark = CloudEvent(
        id=new_id(),
        type=BOOKMARK,
        source="/mamie-rosa/event-log",
        subject="log",
        time=utc_now(),
        traceparent="",
        data=b"",
    )
    rabbitmq.publish(channel, bookmark)
    return bookmark


def _read(channel: BlockingChannel, offset: str | datetime) -> Iterator[CloudEvent]:
    """Yield every event of the log, and wait for more at its end."""
    channel.basic_qos(prefetch_count=PREFETCH_COUNT)
    first = offset == FIRST
    for method, properties, body in channel.consume(rabbitmq.EVENT_LOG, arguments={OFFSET: offset}):
        channel.basic_ack(method.delivery_tag)
        # The reader may be slow, and hundreds of events are here already: answer heartbeats.
        channel.connection.process_data_events(time_limit=0)
        if first and (begin := _offset(properties)):
            log.warning("log_truncated", offset=begin)
        first = False
        try:
            yield rabbitmq.read_event(properties, body)
        except rabbitmq.MalformedEventError:
            log.warning("log_entry_skipped", offset=_offset(properties))


def _stop_reading(channel: BlockingChannel) -> None:
    """Close the channel. pika returns unread messages; the broker then closes the connection."""
    with suppress(ConnectionClosedByBroker):
        channel.close()


def _offset(properties: BasicProperties) -> int:
    return (properties.headers or {}).get(OFFSET, 0)
