"""Integration events: a CloudEvent around a message of mamie_rosa.events.v1.

A service writes an event to its outbox in the transaction that changes its state; a relay
publishes it afterwards, at least once, in order per subject.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from google.protobuf import message

from services.common.context import current


@dataclass(frozen=True)
class CloudEvent:
    """One event (CloudEvents 1.0): attributes, and the serialized message.

    `type` is the message's full name; `subject` is the id of the resource that it is about.
    """

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    traceparent: str
    data: bytes


def build_event(
    data: message.Message,
    *,
    source: str,
    subject: str,
    now: datetime,
    new_id: Callable[[], str],
) -> CloudEvent:
    """Build an event with the trace of the current call."""
    return CloudEvent(
        id=new_id(),
        type=data.DESCRIPTOR.full_name,
        source=f"/mamie-rosa/{source}",
        subject=subject,
        time=now,
        traceparent=current().traceparent or "",
        data=data.SerializeToString(),
    )
