"""Rebuilds the graph from the event log.

The log keeps its newest gigabyte. One that no longer begins with the first event cannot give the
whole graph; so that is looked up before anything is deleted, and needs the operator's word.

The service may run meanwhile. An event that arrives during the deletion or the replay may be
applied when it arrives, when it is read from the log, or both: the graph is the same (see
repository.py). The log is read up to a bookmark that is published after the deletion; events
behind the bookmark reach the service itself.

The rebuild waits while the graph is unavailable. When the bus becomes unavailable, or the
process is killed, data is missing until the next rebuild.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import pika
import structlog
from google.protobuf.message import DecodeError
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ConnectionClosedByBroker

from services.common.clock import new_id, utc_now
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.recommendations.consumer import QUEUE, EventHandler, InvalidEventError
from services.recommendations.repository import RecommendationsRepository

BOOKMARK = "mamie_rosa.log.Bookmark"
NAME = "recommendations-rebuild"
PREFETCH_COUNT = 500
OFFSET = "x-stream-offset"
RETRY_DELAY_SECONDS = 1.0

Connect = Callable[[str, str], AbstractContextManager[pika.BlockingConnection]]
"""Connects to the bus of a URL, under a name."""

log = structlog.get_logger()


class LogTruncatedError(Exception):
    """The log begins after the first event, or holds none; `offset` is where it begins."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the log begins at offset {offset}")
        self.offset = offset


def rebuild(
    *,
    url: str,
    repository: RecommendationsRepository,
    partial: bool = False,
    connect: Connect = rabbitmq.connection,
) -> int:
    """Delete the data of events, apply all events of the log, and return their number.

    Invalid events are skipped: the service has them as dead letters. An unavailable bus ends
    the process. So does a log that is not whole, before anything is deleted; with `partial`,
    the graph is rebuilt from what is left.
    """
    try:
        count = _rebuild(url, repository, partial=partial, connect=connect)
    except LogTruncatedError as error:
        log.error("log_truncated", offset=error.offset, advice="nothing deleted; see --partial")
        raise SystemExit(1) from None
    except (AMQPError, OSError) as error:
        log.error("rebuild_interrupted", error=repr(error), advice="run it again")
        raise SystemExit(1) from None
    log.info("graph_rebuilt", events=count)
    return count


def _rebuild(
    url: str, repository: RecommendationsRepository, *, partial: bool, connect: Connect
) -> int:
    with connect(url, NAME) as connection:  # nothing is deleted without the bus
        channel = connection.channel()
        rabbitmq.declare_log(channel)
        if not partial:
            _require_whole_log(channel)
    _retry_while_unavailable(repository.delete_event_data)
    handler = EventHandler(repository=repository)
    with connect(url, NAME) as connection:
        return sum(_handle(handler, event) for event in _read_events(connection.channel()))


def _require_whole_log(channel: BlockingChannel) -> None:
    """Raise LogTruncatedError unless the log begins with an event at offset 0."""
    channel.confirm_delivery()
    bookmark = _build_bookmark()
    rabbitmq.publish(channel, bookmark)  # so that there is something to read
    channel.basic_qos(prefetch_count=1)
    _, first, _ = next(channel.consume(rabbitmq.EVENT_LOG, arguments={OFFSET: "first"}))
    if _offset(first) or first.message_id == bookmark.id:
        raise LogTruncatedError(_offset(first))
    _stop_reading(channel)


def _read_events(channel: BlockingChannel) -> Iterator[CloudEvent]:
    """Yield the events of the service's types, from the oldest in the log until now."""
    channel.confirm_delivery()
    bookmark = _build_bookmark()
    rabbitmq.publish(channel, bookmark)
    for event in _read_log(channel):
        if event.id == bookmark.id:
            _stop_reading(channel)
            return
        if event.type in QUEUE.types:
            yield event


def _build_bookmark() -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        type=BOOKMARK,
        source="/mamie-rosa/recommendations",
        subject="log",
        time=utc_now(),
        traceparent="",
        data=b"",
    )


def _read_log(channel: BlockingChannel) -> Iterator[CloudEvent]:
    """Yield every event of the log, and wait for more at its end."""
    channel.basic_qos(prefetch_count=PREFETCH_COUNT)
    first = True
    for method, properties, body in channel.consume(
        rabbitmq.EVENT_LOG, arguments={OFFSET: "first"}
    ):
        channel.basic_ack(method.delivery_tag)
        if first and (offset := _offset(properties)):
            log.warning("log_truncated", offset=offset)
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


def _handle(handler: EventHandler, event: CloudEvent) -> bool:
    """Apply an event; False when it is invalid."""
    try:
        _retry_while_unavailable(lambda: handler.handle(event))
    except (InvalidEventError, DecodeError) as error:
        log.warning("event_skipped", event_id=event.id, error=repr(error))
        return False
    return True


def _retry_while_unavailable(change: Callable[[], object]) -> None:
    """Change the graph; retry while it is unavailable."""
    while True:
        try:
            change()
            return
        except UnavailableError as error:
            log.warning("rebuild_retrying", reason=error.reason)
            threading.Event().wait(RETRY_DELAY_SECONDS)
