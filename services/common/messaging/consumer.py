"""Hands the events of one queue to a handler: at least once, one after the other.

The handler runs in a thread of its own, so that however long it takes the connection's
heartbeats are answered. A message is acknowledged when its handler has returned. When the
handler raises, the message is redelivered, `rabbitmq.MAX_DELIVERY_ATTEMPTS` times in all, and is
then a dead letter; the rest of the queue goes on. A message that is no event is tried just as
often: the reason may be ours.

Handlers remember the ids of events, in the transaction of their effect: whatever is
delivered twice has one effect.
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
"""Does what an event asks for. UnavailableError means "not now": it is waited for, not counted."""

log = structlog.get_logger()


class Consumer:
    """Consumes one queue in the background, and waits out every absence of the broker."""

    def __init__(self, *, queue: rabbitmq.Queue, handler: Handler, url: str) -> None:
        self._queue = queue
        self._handler = handler
        self._url = url
        self._stopping = threading.Event()
        self._worker = ThreadPoolExecutor(1, f"{queue.consumer}-handler")
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the event that is being handled, and return; others get the rest."""
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
            connection.process_data_events(time_limit=0)  # the last acknowledgement leaves

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
        """Handle a message, in the handler's thread; settle it in the connection's."""
        done = self._succeeds(properties, body)
        attempts = (properties.headers or {}).get("x-delivery-count", 0) + 1
        last = attempts >= rabbitmq.MAX_DELIVERY_ATTEMPTS

        def settle() -> None:
            if done:
                channel.basic_ack(tag)
            else:
                channel.basic_reject(tag, requeue=not last)

        channel.connection.add_callback_threadsafe(settle)

    def _succeeds(self, properties: pika.BasicProperties, body: bytes) -> bool:
        try:
            event = rabbitmq.read_event(properties, body)
            with use(CallContext(request_id=event.id, traceparent=event.traceparent or None)):
                self._handle_when_possible(event)
        except Exception:
            log.exception("event_refused", message_id=properties.message_id)
            return False
        log.info("event_handled", event_id=event.id, type=event.type)
        return True

    def _handle_when_possible(self, event: CloudEvent) -> None:
        """Handle an event, as often as it takes while a store or a service is away."""
        while True:
            try:
                self._handler(event)
                return
            except UnavailableError as error:
                log.warning("handler_waits", event_id=event.id, reason=error.reason)
                if self._stopping.wait(RETRY_DELAY_SECONDS):
                    raise
