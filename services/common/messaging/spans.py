"""The spans of events: one in which each is published, one in which each consumer processes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from services.common.context import CallContext
from services.common.messaging.events import CloudEvent
from services.common.tracing import spans
from services.common.tracing.spans import ORDER_ID, Kind, Span, ending, valid_id
from services.common.tracing.trace_context import accept

KINDS = {"send": Kind.PRODUCER, "process": Kind.CONSUMER}


@contextmanager
def publishing(event: CloudEvent, exchange: str) -> Iterator[CloudEvent]:
    """Publish an event inside the block; yield it as its consumers get it.

    If its trace is recorded, they continue from this span.
    """
    span = _begin(event, "send", exchange)
    if span is None:
        yield event
        return
    with ending(span):
        yield replace(event, traceparent=span.traceparent)


@contextmanager
def processing(events: Sequence[CloudEvent], queue: str) -> Iterator[Sequence[CallContext]]:
    """Process events inside the block; yield the context of each."""
    begun = [_begin(event, "process", queue) for event in events]
    error = ""
    try:
        yield [_context(event, span) for event, span in zip(events, begun, strict=True)]
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        for span in filter(None, begun):
            span.end(error)


def _begin(event: CloudEvent, operation: str, destination: str) -> Span | None:
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.message.id": valid_id(event.id),
        ORDER_ID: valid_id(event.subject) if ".Order" in event.type else "",
    }
    name = f"{operation} {event.type.rpartition('.')[2]}"
    return spans.begin(name, KINDS[operation], attributes, parent=accept(event.traceparent) or "")


def _context(event: CloudEvent, span: Span | None) -> CallContext:
    traceparent = span.traceparent if span else accept(event.traceparent)
    return CallContext(request_id=event.id, traceparent=traceparent)
