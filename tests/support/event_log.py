"""The log of all published integration events, a stream of RabbitMQ."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from services.common.messaging import rabbitmq
from tests.support.running_stack import RunningStack

QUIET_SECONDS = 2
"""The log ends when nothing arrives for this long."""
PREFETCH = 500

Published = Mapping[str, Mapping[str, datetime]]
"""By subject: the time of each event by its id, in the order of first publication."""


def read_event_log(stack: RunningStack, subjects: Collection[str]) -> Published:
    """Return the published events of some subjects."""
    published: dict[str, dict[str, datetime]] = defaultdict(dict)
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        first = {"x-stream-offset": "first"}
        for method, properties, body in channel.consume(
            rabbitmq.EVENT_LOG, arguments=first, inactivity_timeout=QUIET_SECONDS
        ):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            if (properties.headers or {}).get(rabbitmq.PREFIX + "subject") in subjects:
                event = rabbitmq.read_event(properties, body)
                published[event.subject].setdefault(event.id, event.time)
    return published
