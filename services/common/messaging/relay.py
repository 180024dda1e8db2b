"""Publishes what a service's outbox holds: at least once, in order per subject.

The outbox is read and emptied by one relay at a time, as far as its store can see to that.
Should two overlap, each begins with the oldest event of a subject that is still there and
goes on in order, so what consumers hear first of each event is in order all the same; the
second time they remember.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pika.exceptions
import structlog

from services.common.errors import StoreUnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent

BATCH = 100
IDLE_SECONDS = 0.2
RETRY_DELAY_SECONDS = 1.0
TRANSIENT_ERRORS = (pika.exceptions.AMQPError, StoreUnavailableError, OSError)

log = structlog.get_logger()


class Outbox(Protocol):
    """Events that wait to be published, kept in the store of a service."""

    def take(self, limit: int) -> AbstractContextManager[Sequence[CloudEvent]]:
        """Yield the oldest events, those of one subject in order; drop them at the end.

        What is raised inside leaves them where they are. Yields nothing while another relay
        has taken some.
        """


class OutboxRelay:
    """Publishes the events of an outbox in a thread of its own, and waits out every trouble."""

    def __init__(self, *, outbox: Outbox, url: str, name: str) -> None:
        self._outbox = outbox
        self._url = url
        self._name = f"{name}-relay"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox-relay", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish the batch that was taken, and return."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._relay()
            except TRANSIENT_ERRORS as error:
                log.warning("relay_interrupted", error=repr(error))
                self._stopping.wait(RETRY_DELAY_SECONDS)

    def _relay(self) -> None:
        with rabbitmq.connection(self._url, self._name) as connection:
            channel = connection.channel()
            rabbitmq.declare_log(channel)
            channel.confirm_delivery()
            while not self._stopping.is_set():
                if not publish_batch(self._outbox, lambda event: rabbitmq.publish(channel, event)):
                    # Heartbeats are answered while there is nothing to do.
                    connection.process_data_events(time_limit=IDLE_SECONDS)


def publish_batch(outbox: Outbox, publish: Callable[[CloudEvent], None]) -> int:
    """Publish the oldest events of an outbox and return how many that were."""
    with outbox.take(BATCH) as events:
        for event in events:
            publish(event)
    if events:
        log.info("events_published", count=len(events))
    return len(events)
