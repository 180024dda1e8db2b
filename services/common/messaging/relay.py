"""The outbox relay: publishes the events of an outbox at least once, in order per subject.

One relay at a time takes events, as far as the store can ensure it. If two overlap, each
starts with the oldest remaining event of a subject and goes on in order. So the first
deliveries of a subject's events are in order, and consumers skip the second deliveries.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import structlog
from pika.adapters.blocking_connection import BlockingChannel

from services.common.background import BackgroundLoop
from services.common.messaging import queues, rabbitmq
from services.common.messaging.events import CloudEvent

BATCH_SIZE = 100
IDLE_SECONDS = 0.2

log = structlog.get_logger()


class Outbox(Protocol):
    """The events in a service's store that wait to be published."""

    def take(self, limit: int) -> AbstractContextManager[Sequence[CloudEvent]]:
        """Yield the oldest events, in order per subject, and delete them at the end of the block.

        An exception in the block keeps them. Yields none while another relay has taken some.
        """


class OutboxRelay:
    """Publishes the events of an outbox in a thread of its own; goes on after every error."""

    def __init__(self, *, outbox: Outbox, url: str, name: str) -> None:
        self._outbox = outbox
        self._url = url
        self._name = f"{name}-relay"
        self._loop = BackgroundLoop(
            name="outbox-relay", work=self._relay, expected=rabbitmq.TRANSIENT_ERRORS
        )

    def start(self) -> None:
        """Start to publish."""
        self._loop.start()

    def stop(self) -> None:
        """Stop after the current batch."""
        self._loop.stop()

    def _relay(self, loop: BackgroundLoop) -> None:
        with rabbitmq.connection(self._url, self._name) as connection:
            channel = connection.channel()
            declare_all(channel)
            channel.confirm_delivery()
            while not loop.stopping:
                if not publish_batch(self._outbox, lambda event: rabbitmq.publish(channel, event)):
                    # While idle, this answers heartbeats.
                    connection.process_data_events(time_limit=IDLE_SECONDS)
                loop.succeeded()


def declare_all(channel: BlockingChannel) -> None:
    """Declare the log and the queue of every consumer, so that each gets what is published."""
    rabbitmq.declare_log(channel)
    for queue in queues.ALL:
        rabbitmq.declare_queue(channel, queue)


def publish_batch(outbox: Outbox, publish: Callable[[CloudEvent], None]) -> int:
    """Publish the oldest events of an outbox; return their number."""
    with outbox.take(BATCH_SIZE) as events:
        for event in events:
            publish(event)
    if events:
        log.info("events_published", count=len(events))
    return len(events)
