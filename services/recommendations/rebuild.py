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

import structlog
from google.protobuf.message import DecodeError
from pika.exceptions import AMQPError

from services.common.messaging import event_log, rabbitmq
from services.recommendations.consumer import QUEUE, EventHandler, InvalidEventError
from services.recommendations.repository import RecommendationsRepository

NAME = "recommendations-rebuild"

log = structlog.get_logger()


def rebuild(
    *,
    url: str,
    repository: RecommendationsRepository,
    partial: bool = False,
    connect: event_log.Connect = rabbitmq.connection,
) -> int:
    """Delete the data of events, apply all events of the log, and return their number.

    Invalid events are skipped: the service has them as dead letters. An unavailable bus ends
    the process. So does a log that is not whole, before anything is deleted; with `partial`,
    the graph is rebuilt from what is left.
    """
    try:
        count = _rebuild(url, repository, partial=partial, connect=connect)
    except event_log.LogTruncatedError as error:
        log.error("log_truncated", offset=error.offset, advice="nothing deleted; see --partial")
        raise SystemExit(1) from None
    except (AMQPError, OSError) as error:
        log.error("rebuild_interrupted", error=repr(error), advice="run it again")
        raise SystemExit(1) from None
    log.info("graph_rebuilt", events=count)
    return count


def _rebuild(
    url: str, repository: RecommendationsRepository, *, partial: bool, connect: event_log.Connect
) -> int:
    with connect(url, NAME) as connection:  # nothing is deleted without the bus
        channel = connection.channel()
        rabbitmq.declare_log(channel)
        if not partial:
            event_log.require_whole(channel)
    event_log.retry_while_unavailable(repository.delete_event_data)
    handler = EventHandler(repository=repository)
    with connect(url, NAME) as connection:
        events = event_log.read_until_now(connection.channel(), QUEUE.types)
        return event_log.apply_all(events, handler.handle, invalid=(InvalidEventError, DecodeError))
