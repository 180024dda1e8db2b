"""The outbox relay: publishes the events of an outbox at least once, in order per subject.

One relay at a time takes events, as far as the store can ensure it. If two overlap, each
starts with the oldest remaining event of a subject and goes on in order. So the first
deliveries of a subject's events are in order, and consumers skip the second deliveries.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ConnectionWrongStateError

from services.common.background import BackgroundLoop
from services.common.messaging import queues, rabbitmq
from services.common.messaging.events import CloudEvent
from services.common.messaging.spans import publishing
from services.common.metrics import bus

BATCH_SIZE = 100
POLL_SECONDS = 0.2
WOKEN_POLL_SECONDS = 2.0
"""How often to look for events when writers wake the relay, in case a writer died before that."""

log = structlog.get_logger()


class Outbox(Protocol):
    """The events in a service's store that wait to be published."""

    def take(self, limit: int) -> AbstractContextManager[Sequence[CloudEvent]]:
        """Yield the oldest events, in order per subject, and delete them at the end of the block.

        An exception in the block keeps them. Yields none while another relay has taken some.
        """


class OutboxRelay:
    """Publishes the events of an outbox in a thread of its own; goes on after every error."""

    def __init__(
        self, *, outbox: Outbox, url: str, name: str, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._outbox = outbox
        self._url = url
        self._name = f"{name}-relay"
        self._poll_seconds = poll_seconds
        self._connection: pika.BlockingConnection | None = None
        self._loop = BackgroundLoop(
            name="outbox-relay", work=self._relay, expected=rabbitmq.TRANSIENT_ERRORS
        )

    def start(self) -> None:
        """Start to publish."""
        _running.add(self)
        self._loop.start()

    def wake(self) -> None:
        """Look for events now, without waiting for the next poll."""
        if connection := self._connection:
            with suppress(ConnectionWrongStateError):  # it will look once it has reconnected
                connection.add_callback_threadsafe(_do_nothing)

    def stop(self) -> None:
        """Stop after the current batch."""
        _running.discard(self)
        self._loop.request_stop()
        self.wake()
        self._loop.stop()

    def _relay(self, loop: BackgroundLoop) -> None:
        with rabbitmq.connection(self._url, self._name) as connection:
            self._connection = connection
            channel = connection.channel()
            declare_all(channel)
            channel.confirm_delivery()
            while not loop.stopping:
                if not publish_batch(self._outbox, lambda event: rabbitmq.publish(channel, event)):
                    # While idle, this answers heartbeats; `wake` ends it.
                    connection.process_data_events(time_limit=self._poll_seconds)
                loop.succeeded()


_running: set[OutboxRelay] = set()
"""The relays of this process."""


def wake_relays() -> None:
    """Let the relays of this process publish what was just committed to an outbox."""
    for relay in list(_running):
        relay.wake()


def _do_nothing() -> None:
    """Be called by a connection, which ends its wait."""


def declare_all(channel: BlockingChannel) -> None:
    """Declare the log and the queue of every consumer, so that each gets what is published."""
    rabbitmq.declare_log(channel)
    for queue in queues.ALL:
        rabbitmq.declare_queue(channel, queue)


def publish_batch(outbox: Outbox, publish: Callable[[CloudEvent], None]) -> int:
    """Publish the oldest events of an outbox; return their number."""
    with outbox.take(BATCH_SIZE) as events:
        for event in events:
            with publishing(event, rabbitmq.EXCHANGE) as outgoing:
                publish(outgoing)
    if events:
        log.info("events_published", count=len(events))
    for event in events:
        bus.PUBLISH_DELAY.observe(bus.age_seconds(event.time))
    return len(events)
