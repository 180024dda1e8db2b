"""Helpers for tests with a real broker."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel

from services.common.messaging.events import CloudEvent
from services.common.runtime import Worker

AnyWorker = TypeVar("AnyWorker", bound=Worker)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def build_event(type_name: str, number: int = 1, **changes: Any) -> CloudEvent:
    """Build an event with a unique id."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "type": type_name,
        "source": "/mamie-rosa/test",
        "subject": f"subject-{number % 7}",
        "time": NOW,
        "traceparent": "",
        "data": str(number).encode(),
    }
    return CloudEvent(**(values | changes))


@contextmanager
def patient_connection(url: str) -> Iterator[pika.BlockingConnection]:
    """Yield a connection that the broker keeps while a test does something else for long."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    with pika.BlockingConnection(parameters) as connection:
        yield connection


@contextmanager
def running(worker: AnyWorker) -> Iterator[AnyWorker]:
    """Run a consumer or a relay inside the block."""
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def count(channel: BlockingChannel, name: str) -> int:
    """Count the messages of a queue."""
    return channel.queue_declare(name, passive=True).method.message_count
