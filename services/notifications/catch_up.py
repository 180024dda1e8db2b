"""Catches up with the event log: applies the events since a moment that had no effect yet.

For events that a consumer lost with its queue. An event is applied through the inbox, as when it
arrives, so that one that had its effect has none again; what the sender mailed is mailed once.
The inbox goes back 91 days, and events of before 90 days cause no notification (domain.py): an
earlier moment is rejected. The service may run meanwhile; its sender finds what is due.
"""

from datetime import datetime

import structlog
from google.protobuf.message import DecodeError
from pika.exceptions import AMQPError

from services.common.clock import Clock, utc_now
from services.common.messaging import event_log, rabbitmq
from services.notifications import domain
from services.notifications.consumer import QUEUE, EventHandler, InvalidEventError
from services.notifications.repository import NotificationsRepository

NAME = "notifications-catch-up"

log = structlog.get_logger()


def catch_up(
    *,
    url: str,
    repository: NotificationsRepository,
    since: datetime,
    clock: Clock = utc_now,
    connect: event_log.Connect = rabbitmq.connection,
) -> int:
    """Apply the events since a moment, and return how many had no effect before.

    A moment that is too early ends the process, as does an unavailable bus: what was applied
    until then remains. A log whose oldest events are gone is a warning.
    """
    if domain.is_expired(since, clock()):
        log.error("catch_up_rejected", since=since.isoformat(), advice="at most 90 days ago")
        raise SystemExit(1)
    applied: list[None] = []
    handler = EventHandler(repository=repository, wake=lambda: applied.append(None), clock=clock)
    try:
        count = _catch_up(url, handler, since, connect)
    except (AMQPError, OSError) as error:
        log.error("catch_up_interrupted", error=repr(error), advice="run it again")
        raise SystemExit(1) from None
    log.info("caught_up", events=count, applied=len(applied))
    return len(applied)


def _catch_up(url: str, handler: EventHandler, since: datetime, connect: event_log.Connect) -> int:
    with connect(url, NAME) as connection:
        channel = connection.channel()
        rabbitmq.declare_log(channel)
        try:
            event_log.require_whole(channel, since)
        except event_log.LogTruncatedError as error:
            log.warning("log_truncated", offset=error.offset, since=since.isoformat())
    with connect(url, NAME) as connection:
        events = event_log.read_until_now(connection.channel(), QUEUE.types, since=since)
        return event_log.apply_all(events, handler.handle, invalid=(InvalidEventError, DecodeError))
