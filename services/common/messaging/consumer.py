"""The consumer of one queue: passes its events to a handler, at least once, one by one.

The handler runs in a thread of its own, so that the connection's heartbeats are answered
while it works. A message is acknowledged when the handler has returned. When the handler
raises, the message is redelivered, and after `rabbitmq.MAX_DELIVERY_ATTEMPTS` attempts it
becomes a dead letter. A malformed message gets as many attempts, because the fault may be the
consumer's.

Handlers save the ids of processed events in the transaction of their effect, so that an event
that is delivered twice has one effect.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pika
import pika.exceptions
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from services.common.context import CallContext, use
from services.common.errors import UnavailableError
from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent

POLL_SECONDS = 0.5
RETRY_DELAY_SECONDS = 1.0

Handler = Callable[[CloudEvent], object]
"""Processes an event. After UnavailableError it is retried, and the attempt does not count."""

log = structlog.get_logger()


class Consumer:
    """Consumes one queue in the background; reconnects when the broker is unavailable."""

    def __init__(self, *, queue: rabbitmq.Queue, handler: Handler, url: str) -> None:
        self._queue = queue
        self._handler = handler
        self._url = url
        self._stopping = threading.Event()
        self._worker = ThreadPoolExecutor(1, f"{queue.consumer}-handler")
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        """Start to consume."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current event; other instances get the rest."""
        self._stopping.set()
        self._thread.join()
        self._worker.shutdown()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except (pika.exceptions.AMQPError, OSError) as error:
                log.warning("consumer_interrupted", error=repr(error))
                self._stopping.wait(RETRY_DELAY_SECONDS)

    def _consume(self) -> None:
        with rabbitmq.connection(self._url, self._queue.consumer) as connection:
            channel = connection.channel()
            rabbitmq.declare_queue(channel, self._queue)
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(self._queue.name, self._receive)
            while not self._stopping.is_set():
                connection.process_data_events(time_limit=POLL_SECONDS)
            self._worker.shutdown(wait=True)
            connection.process_data_events(time_limit=0)  # sends the last acknowledgement

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
        succeeded = self._process(properties, body)
        attempts = (properties.headers or {}).get("x-delivery-count", 0) + 1
        last = attempts >= rabbitmq.MAX_DELIVERY_ATTEMPTS

        def acknowledge() -> None:
            if succeeded:
                channel.basic_ack(tag)
            else:
                channel.basic_reject(tag, requeue=not last)

        channel.connection.add_callback_threadsafe(acknowledge)

    def _process(self, properties: pika.BasicProperties, body: bytes) -> bool:
        try:
            event = rabbitmq.read_event(properties, body)
            with use(CallContext(request_id=event.id, traceparent=event.traceparent or None)):
                self._retry_while_unavailable(event)
        except Exception:
            log.exception("event_failed", message_id=properties.message_id)
            return False
        log.info("event_processed", event_id=event.id, type=event.type)
        return True

    def _retry_while_unavailable(self, event: CloudEvent) -> None:
        """Call the handler until no dependency is unavailable."""
        while True:
            try:
                self._handler(event)
                return
            except UnavailableError as error:
                log.warning("handler_waiting", event_id=event.id, reason=error.reason)
                if self._stopping.wait(RETRY_DELAY_SECONDS):
                    raise
