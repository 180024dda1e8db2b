"""Builds the graph again, from zero, out of the log of all events.

The service may run meanwhile. What is told while the graph is being forgotten or read may
have its effect now, or when it is read, or both: the graph is the same (see repository.py).
The log is read as far as a bookmark that is put into it after the forgetting; what comes
behind the bookmark reaches the service itself.

A graph that is away is waited for. When the bus goes away, or the process is killed, the
graph is left thinner than it was: then it has to be built again from the start.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ConnectionClosedByBroker

from services.common.clock import new_id, utc_now
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.recommendations.consumer import CHANGES, EventHandler, UnusableEventError
from services.recommendations.repository import RecommendationsRepository

BOOKMARK = "mamie_rosa.log.Bookmark"
NAME = "recommendations-rebuild"
PREFETCH = 500
OFFSET = "x-stream-offset"
RETRY_DELAY_SECONDS = 1.0

log = structlog.get_logger()


def rebuild(*, url: str, repository: RecommendationsRepository) -> int:
    """Forget what events told, read all of them again, and return how many that were.

    Events that nobody can read are dead letters of the service, and are left out here too.
    A bus that is away, or goes away, ends the process.
    """
    try:
        count = _rebuild(url, repository)
    except (AMQPError, OSError) as error:
        log.error("rebuild_interrupted", error=repr(error), advice="run it again")
        raise SystemExit(1) from None
    log.info("graph_rebuilt", events=count)
    return count


def _rebuild(url: str, repository: RecommendationsRepository) -> int:
    with rabbitmq.connection(
        url, NAME
    ) as connection:  # of a bus that is away nothing can be learnt
        rabbitmq.declare_log(connection.channel())
    _when_possible(repository.clear)
    handler = EventHandler(repository=repository)
    with rabbitmq.connection(url, NAME) as connection:
        return sum(_handle(handler, event) for event in _events(connection.channel()))


def _events(channel: BlockingChannel) -> Iterator[CloudEvent]:
    """Yield the events that the graph learns from, from the oldest that is kept until now."""
    channel.confirm_delivery()
    bookmark = _bookmark()
    rabbitmq.publish(channel, bookmark)
    for event in _log(channel):
        if event.id == bookmark.id:
            _let_go(channel)
            return
        if event.type in CHANGES:
            yield event


def _bookmark() -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        type=BOOKMARK,
        source="/mamie-rosa/recommendations",
        subject="log",
        time=utc_now(),
        traceparent="",
        data=b"",
    )


def _log(channel: BlockingChannel) -> Iterator[CloudEvent]:
    """Yield every event of the log, and wait for more at its end."""
    channel.basic_qos(prefetch_count=PREFETCH)
    first = True
    for method, properties, body in channel.consume(
        rabbitmq.EVENT_LOG, arguments={OFFSET: "first"}
    ):
        channel.basic_ack(method.delivery_tag)
        if first and (offset := _offset(properties)):
            log.warning("log_begins_late", offset=offset)
        first = False
        try:
            yield rabbitmq.read_event(properties, body)
        except rabbitmq.MalformedEventError:
            log.warning("log_entry_left_out", offset=_offset(properties))


def _let_go(channel: BlockingChannel) -> None:
    """Stop to read. pika hands back what it has not shown yet, for which streams hang up."""
    with suppress(ConnectionClosedByBroker):
        channel.close()


def _offset(properties: Any) -> int:
    return (properties.headers or {}).get(OFFSET, 0)


def _handle(handler: EventHandler, event: CloudEvent) -> bool:
    try:
        _when_possible(lambda: handler.handle(event))
    except (UnusableEventError, DecodeError) as error:
        log.warning("event_left_out", event_id=event.id, error=repr(error))
        return False
    return True


def _when_possible(change: Callable[[], object]) -> None:
    """Change the graph, as often as it takes while it is away."""
    while True:
        try:
            change()
            return
        except UnavailableError as error:
            log.warning("rebuild_waits", reason=error.reason)
            threading.Event().wait(RETRY_DELAY_SECONDS)
