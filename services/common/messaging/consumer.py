"""The consumer of one queue: passes its events to a handler, at least once, one by one.

The handler runs in a thread of its own, so that the connection's heartbeats are answered
while it works. A message is acknowledged when the handler has returned. When the handler
raises, the message is redelivered, and after `rabbitmq.MAX_DELIVERY_ATTEMPTS` attempts it
becomes a dead letter. A malformed message gets as many attempts, because the fault may be the
consumer's.

While a dependency of the handler is unavailable, the handler is called again and again. The
broker allows nobody to keep a message for 30 minutes: after HOLD_SECONDS the connection is
closed, which returns the message, and the handler is still called with it until it succeeds;
only then is the queue consumed again. The broker counts each return, also that of a consumer
that stops; a message that has no attempt left is replaced by a new copy, at the end of the
queue.

Handlers save the ids of processed events in the transaction of their effect, so that an event
that is delivered twice has one effect.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from enum import Enum, auto

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from services.common.background import BackgroundLoop
from services.common.context import CallContext, use
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent

POLL_SECONDS = 0.5
RETRY_DELAY_SECONDS = 1.0
HOLD_SECONDS = 600.0
"""How long a message is kept while a dependency is unavailable; the broker allows 30 min."""

Handler = Callable[[CloudEvent], object]
"""Processes an event. After UnavailableError it is retried, and the attempt does not count."""

log = structlog.get_logger()


class Outcome(Enum):
    """What became of a delivery."""

    DONE = auto()
    FAILED = auto()
    INTERRUPTED = auto()
    """The consumer stopped while a dependency was unavailable: no attempt of the handler."""


class Consumer:
    """Consumes one queue in the background; reconnects whatever happens."""

    def __init__(
        self,
        *,
        queue: rabbitmq.Queue,
        handler: Handler,
        url: str,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._url = url
        self._hold_seconds = hold_seconds
        self._waiting_since: float | None = None
        self._busy = False
        self._worker = ThreadPoolExecutor(1, f"{queue.consumer}-handler")
        self._loop = BackgroundLoop(
            name="consumer", work=self._consume, expected=rabbitmq.TRANSIENT_ERRORS
        )

    def start(self) -> None:
        """Start to consume."""
        self._loop.start()

    def stop(self) -> None:
        """Stop after the current event; other instances get the rest."""
        self._loop.stop()
        self._worker.shutdown()

    def _consume(self, loop: BackgroundLoop) -> None:
        """Consume until the loop is stopped, or a message was kept for too long."""
        with rabbitmq.connection(self._url, self._queue.consumer) as connection:
            channel = connection.channel()
            rabbitmq.declare_queue(channel, self._queue)
            channel.basic_qos(prefetch_count=1)
            channel.add_on_cancel_callback(_raise_cancelled)
            channel.basic_consume(self._queue.name, self._receive)
            while not loop.stopping and not self._holds_too_long():
                connection.process_data_events(time_limit=POLL_SECONDS)
                self._report_progress(loop)
            if loop.stopping:
                self._worker.shutdown(wait=True)
                connection.process_data_events(time_limit=0)  # sends the last acknowledgement
        while self._waiting_since is not None and not loop.wait(POLL_SECONDS):
            pass  # the message is back in the queue, and the handler still tries it

    def _holds_too_long(self) -> bool:
        since = self._waiting_since
        return since is not None and time.monotonic() - since > self._hold_seconds

    def _report_progress(self, loop: BackgroundLoop) -> None:
        """Record a success, unless the handler works or waits."""
        if not self._busy:
            loop.succeeded()

    def _receive(
        self,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._worker.submit(self._handle, channel, method.delivery_tag, properties, body)

    def _handle(
        self,
        channel: BlockingChannel,
        tag: int,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        """Process a message in the handler's thread, and ack or reject it in the connection's."""
        self._busy = True
        outcome = self._process(properties, body)
        self._busy = False
        attempts = (properties.headers or {}).get(rabbitmq.DELIVERY_COUNT, 0) + 1
        last = attempts >= rabbitmq.MAX_DELIVERY_ATTEMPTS

        def acknowledge() -> None:
            if outcome is Outcome.DONE:
                channel.basic_ack(tag)
            elif outcome is Outcome.FAILED:
                channel.basic_reject(tag, requeue=not last)
            elif last:
                self._replace(channel, tag, properties, body)
            # Otherwise the end of the connection returns the message to the head of the queue.

        channel.connection.add_callback_threadsafe(acknowledge)

    def _replace(
        self,
        channel: BlockingChannel,
        tag: int,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        """Put a copy of a message, which gets all its attempts again, in the message's place."""
        fresh = copy(properties)
        fresh.headers = {
            name: value
            for name, value in (properties.headers or {}).items()
            if not name.startswith(rabbitmq.BROKER_HEADER_PREFIX)
        }
        channel.confirm_delivery()
        channel.basic_publish("", self._queue.name, body, fresh, mandatory=True)
        channel.basic_ack(tag)

    def _process(self, properties: pika.BasicProperties, body: bytes) -> Outcome:
        try:
            event = rabbitmq.read_event(properties, body)
            with use(CallContext(request_id=event.id, traceparent=event.traceparent or None)):
                if not self._retry_while_unavailable(event):
                    return Outcome.INTERRUPTED
        except Exception:
            log.exception("event_failed", message_id=properties.message_id)
            return Outcome.FAILED
        log.info("event_processed", event_id=event.id, type=event.type)
        return Outcome.DONE

    def _retry_while_unavailable(self, event: CloudEvent) -> bool:
        """Call the handler until no dependency is unavailable; False when stopped before that."""
        try:
            while True:
                try:
                    self._handler(event)
                    return True
                except UnavailableError as error:
                    log.warning("handler_waiting", event_id=event.id, reason=error.reason)
                    self._loop.failing(f"its handler waits: {error.reason}")
                    self._waiting_since = self._waiting_since or time.monotonic()
                    if self._loop.wait(RETRY_DELAY_SECONDS):
                        return False
        finally:
            self._waiting_since = None


def _raise_cancelled(_frame: object) -> None:
    """Raise, so that the consumer connects again and declares its queue again."""
    raise rabbitmq.ConsumerCancelledError("the broker cancelled the consumer")
