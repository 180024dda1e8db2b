"""Events on their way to the bus: a CloudEvent around a message of mamie_rosa.events.v1.

A service writes an event into its outbox in the transaction that it tells about; a relay
publishes it afterwards, at least once, in order per subject.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from google.protobuf import message

from services.common.context import current


@dataclass(frozen=True)
class CloudEvent:
    """One event (CloudEvents 1.0): attributes, and the message as bytes.

    `type` is the message's full name; `subject` the id of what it is about.
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
    """Return an event that belongs to the call that is being answered."""
    return CloudEvent(
        id=new_id(),
        type=data.DESCRIPTOR.full_name,
        source=f"/mamie-rosa/{source}",
        subject=subject,
        time=now,
        traceparent=current().traceparent or "",
        data=data.SerializeToString(),
    )
