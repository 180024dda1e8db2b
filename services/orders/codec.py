"""Orders as MongoDB documents: their events, their entry in the index, and the state of their saga.

Amounts are decimal strings. The document of an event has the version of the schema with which it
was written; one without is of version 1. `UPCASTERS` brings the data of an old version up to the
current one when it is read; stored documents are never rewritten. See
docs/decisions/0011-event-evolution.md.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import cattrs
from cattrs.preconf.bson import make_converter

from services.orders.domain import Order
from services.orders.events import Event, OrderPlaced, RecordedEvent

Data = Mapping[str, Any]
Upcaster = Callable[[Data], Data]

EVENT_TYPES: Mapping[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""By event type and version: converts the data of that version to the next version's."""

_converter: cattrs.Converter = make_converter()
_converter.register_unstructure_hook(Decimal, str)
_converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))


class UnreadableEventError(Exception):
    """A document has an event type or a version that this release does not know."""


def current_version(type_name: str) -> int:
    """Return the version with which events of a type are written."""
    return max((version + 1 for name, version in UPCASTERS if name == type_name), default=1)


def to_document(order_id: str, recorded: RecordedEvent) -> dict[str, Any]:
    """Build the document that stores an event of an order."""
    type_name = type(recorded.event).__name__
    return {
        "order_id": order_id,
        "sequence": recorded.sequence,
        "time": recorded.time,
        "type": type_name,
        "version": current_version(type_name),
        "data": _converter.unstructure(recorded.event),
    }


def from_document(document: Mapping[str, Any]) -> RecordedEvent:
    """Read an event of any version; UnreadableEventError for an unknown type or version."""
    type_name = document["type"]
    if type_name not in EVENT_TYPES:
        raise UnreadableEventError(type_name)
    data = upcast(type_name, document.get("version", 1), document["data"])
    return RecordedEvent(
        sequence=document["sequence"],
        time=document["time"],
        event=_converter.structure(data, EVENT_TYPES[type_name]),
    )


def upcast(type_name: str, version: int, data: Data) -> Data:
    """Convert the data of an event to the current version of its type."""
    latest = current_version(type_name)
    if version > latest:
        raise UnreadableEventError(f"{type_name} version {version}")
    for each in range(version, latest):
        data = UPCASTERS[type_name, each](data)
    return data


def describe(event: Event) -> dict[str, str]:
    """Return the facts of an event for an order's history, as text by camelCase name.

    Those of OrderPlaced are left out: they are part of the order.
    """
    if isinstance(event, OrderPlaced):
        return {}
    facts = _converter.unstructure(event)
    return {_camel_case(name): str(value) for name, value in facts.items()}


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def index_document(order: Order) -> dict[str, Any]:
    """Build the document that lists an order for its customer."""
    return {"_id": order.order_id, "user_id": order.user_id, "created_at": order.created_at}


def saga_document(
    order_id: str, *, due_at: datetime | None, payment_token: str = ""
) -> dict[str, Any]:
    """Build the document of a saga; `due_at` is the end of its lease, None once complete."""
    return {"_id": order_id, "due_at": due_at, "payment_token": payment_token, "trail": []}
