"""The consumer of one queue: passes its events to a handler, at least once, in order.

One by one, or in batches of what arrives within a window: a batch that fails is handled one by
one. The broker counts an attempt for each message that a dying process held, so that a message
which kills its consumer would make dead letters of its neighbours. So messages come one at a time
until one has succeeded that was never delivered before; and what was delivered before is handled
alone.

The handler runs in a thread of its own, so that the connection's heartbeats are answered
while it works. Both have a lower priority than calls: nobody waits for what follows an event.
A message is acknowledged when the handler has returned. When the handler
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
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import takewhile

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from services.common.background import BackgroundLoop
from services.common.context import use
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.common.messaging.spans import processing
from services.common.metrics import bus
from services.common.threads.priority import yield_to_calls

POLL_SECONDS = 0.5
RETRY_DELAY_SECONDS = 1.0
HOLD_SECONDS = 600.0
"""How long a message is kept while a dependency is unavailable; the broker allows 30 min."""

Handler = Callable[[CloudEvent], object]
"""Processes an event. After UnavailableError it is retried, and the attempt does not count."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How events are handled in batches: up to `size`, that arrive within `window_seconds`.

    For effects that do not depend on the order of events: one that fails is handled again after
    those behind it.
    """

    handler: Callable[[Sequence[CloudEvent]], object]
    size: int = 20
    window_seconds: float = 0.5


@dataclass(frozen=True)
class Delivery:
    """A message, and the channel that it came on."""

    channel: BlockingChannel
    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def attempts(self) -> int:
        """Return how often the message was delivered, this time included."""
        return (self.properties.headers or {}).get(rabbitmq.DELIVERY_COUNT, 0) + 1


class Outcome(Enum):
    """What became of a delivery."""

    DONE = auto()
    FAILED = auto()
    INTERRUPTED = auto()
    """The consumer stopped while a dependency was unavailable: no attempt of the handler."""

    def label(self, *, is_last: bool) -> str:
        """Return its name in the metrics; a failure of the last attempt is a dead letter."""
        return bus.DEAD_LETTER if self is Outcome.FAILED and is_last else self.name.lower()


class Consumer:
    """Consumes one queue in the background; reconnects whatever happens."""

    def __init__(
        self,
        *,
        queue: rabbitmq.Queue,
        handler: Handler,
        url: str,
        batches: Batches | None = None,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._url = url
        self._hold_seconds = hold_seconds
        self._waiting_since: float | None = None
        self._busy = False
        self._batches = batches
        self._waiting: deque[Delivery] = deque()
        self._unsettled = 0
        """The messages that are neither acknowledged nor rejected; the connection's thread's."""
        self._prefetch = 1
        self._is_proven = False
        self._worker = ThreadPoolExecutor(
            1, f"{queue.consumer}-handler", initializer=yield_to_calls
        )
        self._loop = BackgroundLoop(
            name="consumer", work=self._consume, expected=rabbitmq.TRANSIENT_ERRORS
        )

    def start(self) -> None:
        """Start to consume."""
        bus.declare_consumer(self._queue.consumer)
        self._loop.start()

    def stop(self) -> None:
        """Stop after the current event; other instances get the rest."""
        self._loop.stop()
        self._worker.shutdown()

    def _consume(self, loop: BackgroundLoop) -> None:
        """Consume until the loop is stopped, or a message was kept for too long."""
        yield_to_calls()
        with rabbitmq.connection(self._url, self._queue.consumer) as connection:
            channel = connection.channel()
            rabbitmq.declare_queue(channel, self._queue)
            channel.add_on_cancel_callback(_raise_cancelled)
            self._waiting.clear()
            self._unsettled, self._is_proven = 0, False
            tag = self._consume_from(channel, prefetch=1)
            while not loop.stopping and not self._holds_too_long():
                connection.process_data_events(time_limit=POLL_SECONDS)
                self._report_progress(loop)
                if self._batches and self._may_prefetch():
                    channel.basic_cancel(tag)
                    tag = self._consume_from(channel, prefetch=self._batches.size)
            if loop.stopping:
                self._worker.shutdown(wait=True)
                connection.process_data_events(time_limit=0)  # sends the last acknowledgement
            self._waiting.clear()  # what was not handled goes back with the connection
        while self._waiting_since is not None and not loop.wait(POLL_SECONDS):
            pass  # the message is back in the queue, and the handler still tries it

    def _may_prefetch(self) -> bool:
        """Return whether an event has succeeded, and none is in hand that another one may get."""
        return self._prefetch == 1 and self._is_proven and not self._unsettled

    def _consume_from(self, channel: BlockingChannel, *, prefetch: int) -> str:
        """Begin to consume, with so many messages at once; return the consumer's tag."""
        self._prefetch = prefetch
        channel.basic_qos(prefetch_count=prefetch)
        return channel.basic_consume(self._queue.name, self._receive)

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
        self._unsettled += 1
        self._waiting.append(Delivery(channel, method.delivery_tag, properties, body))
        self._worker.submit(self._handle_waiting)

    def _handle_waiting(self) -> None:
        """Process a batch in the handler's thread, and settle it in the connection's."""
        batch = self._next_batch()
        if not batch:  # it was part of the batch before
            return
        self._busy = True
        outcomes = self._process_batch(batch)
        self._busy = False
        if Outcome.INTERRUPTED in outcomes:  # nor could the rest be handled
            self._waiting.clear()
        connection = batch[0].channel.connection
        connection.add_callback_threadsafe(partial(self._settle, batch, outcomes))

    def _next_batch(self) -> Sequence[Delivery]:
        """Return the next messages; one alone without batches, or if it was delivered before."""
        if not self._waiting:
            return []
        if not self._batches or self._waiting[0].attempts > 1:
            return [self._waiting.popleft()]
        if len(self._waiting) < self._prefetch:
            self._loop.wait(self._batches.window_seconds)
        arrived = list(self._waiting)[: self._batches.size]
        batch = list(takewhile(lambda delivery: delivery.attempts == 1, arrived))
        return [self._waiting.popleft() for _ in batch]

    def _process_batch(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Process messages together; one by one if that fails, to find the one that does."""
        if len(batch) > 1 and self._batches:
            outcome = self._process(batch, self._batches.handler)
            if outcome is not Outcome.FAILED:
                return [outcome] * len(batch)
        return [
            self._process([delivery], lambda events: self._handler(*events)) for delivery in batch
        ]

    def _settle(self, batch: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Acknowledge or reject messages."""
        self._unsettled -= len(batch)
        for delivery, outcome in zip(batch, outcomes, strict=True):
            last = delivery.attempts >= rabbitmq.MAX_DELIVERY_ATTEMPTS
            bus.DELIVERIES.labels(self._queue.consumer, outcome.label(is_last=last)).inc()
            if outcome is Outcome.DONE:
                delivery.channel.basic_ack(delivery.tag)
                self._is_proven |= delivery.attempts == 1
            elif outcome is Outcome.FAILED:
                delivery.channel.basic_reject(delivery.tag, requeue=not last)
            elif last:
                self._replace(delivery)
            # Otherwise the end of the connection returns the message to the head of the queue.

    def _replace(self, delivery: Delivery) -> None:
        """Put a copy of a message, which gets all its attempts again, in the message's place."""
        fresh = copy(delivery.properties)
        fresh.headers = {
            name: value
            for name, value in (delivery.properties.headers or {}).items()
            if not name.startswith(rabbitmq.BROKER_HEADER_PREFIX)
        }
        channel = delivery.channel
        channel.confirm_delivery()
        channel.basic_publish("", self._queue.name, delivery.body, fresh, mandatory=True)
        channel.basic_ack(delivery.tag)

    def _process(
        self, batch: Sequence[Delivery], handle: Callable[[Sequence[CloudEvent]], object]
    ) -> Outcome:
        """Process messages together, in the context of the first event whose trace is recorded."""
        try:
            events = [rabbitmq.read_event(each.properties, each.body) for each in batch]
            with (
                processing(events, self._queue.name) as contexts,
                use(next((each for each in contexts if each.is_sampled), contexts[0])),
            ):
                if not self._retry_while_unavailable(partial(handle, events), events[0].id):
                    return Outcome.INTERRUPTED
        except Exception:
            log.exception("event_failed", message_id=batch[0].properties.message_id)
            return Outcome.FAILED
        for event, context in zip(events, contexts, strict=True):
            bus.EVENT_AGE.labels(self._queue.consumer).observe(bus.age_seconds(event.time))
            with use(context):
                subject = event.subject  # the id of an order, for one
                log.info("event_processed", event_id=event.id, type=event.type, subject=subject)
        return Outcome.DONE

    def _retry_while_unavailable(self, handle: Callable[[], object], event_id: str) -> bool:
        """Call a handler until no dependency is unavailable; False when stopped before that."""
        try:
            while True:
                try:
                    handle()
                    return True
                except UnavailableError as error:
                    log.warning("handler_waiting", event_id=event_id, reason=error.reason)
                    self._loop.failing(f"its handler waits: {error.reason}")
                    self._waiting_since = self._waiting_since or time.monotonic()
                    if self._loop.wait(RETRY_DELAY_SECONDS):
                        return False
        finally:
            self._waiting_since = None


def _raise_cancelled(_frame: object) -> None:
    """Raise, so that the consumer connects again and declares its queue again."""
    raise rabbitmq.ConsumerCancelledError("the broker cancelled the consumer")
