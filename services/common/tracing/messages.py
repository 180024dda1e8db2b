"""The spans of messages: one of the sender, one of each consumer."""

from services.common.tracing import spans
from services.common.tracing.spans import ORDER_ID, Kind, Span, valid_id
from services.common.tracing.trace_context import accept

KINDS = {"send": Kind.PRODUCER, "process": Kind.CONSUMER}


def begin_message(
    operation: str, destination: str, *, event_id: str, event_type: str, subject: str, parent: str
) -> Span | None:
    """Begin to send or to process an event; None unless its trace is recorded.

    `operation` is "send" or "process", `destination` the exchange or the queue, `parent` the
    traceparent of the event.
    """
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.message.id": valid_id(event_id),
        ORDER_ID: valid_id(subject) if ".Order" in event_type else "",
    }
    name = f"{operation} {event_type.rpartition('.')[2]}"
    return spans.begin(name, KINDS[operation], attributes, parent=accept(parent) or "")
