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
from services.orders.events import (
    Event,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
    RecordedEvent,
)
from services.orders.states import TO_SHIP

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


def saga_marks(order: Order, recorded: RecordedEvent) -> dict[str, Any]:
    """Return what an event changes of the marks of a saga; `order` is after it, None removes.

    By the marks the owner of the shop finds orders among millions (overview/repository.py):
    `to_ship_since` while it waits to be shipped; `sold_at` and `sold_cents` once it is sold, until
    it is cancelled. All these events are appended in a transaction: a step of the saga that writes
    one event alone (0023) can cancel only an order that has no marks yet.
    """
    match recorded.event:
        case OrderConfirmed():
            return {"to_ship_since": recorded.time} | _sold(order, recorded.time)
        case OrderShipped():
            return {"to_ship_since": None}
        case OrderCancelled():
            return {"to_ship_since": None, "sold_at": None, "sold_cents": None}
    return {}


def restored_marks(order: Order) -> dict[str, Any]:
    """Return the marks of a saga whose document was lost; their time is the order's last change."""
    waits = order.status in TO_SHIP
    sold = _sold(order, order.updated_at) if order.is_purchased else {}
    return sold | ({"to_ship_since": order.updated_at} if waits else {})


def saga_change(
    due_at: dict[str, Any] | None, marks: Mapping[str, Any]
) -> list[dict[str, Any]] | dict[str, Any]:
    """Build the update of a saga after events; `due_at` is an expression, None once complete.

    A complete saga has no lease nor payment token.
    """
    removed = [name for name, value in marks.items() if value is None]
    kept = {name: value for name, value in marks.items() if value is not None}
    if due_at is None:
        unset = dict.fromkeys(["waits_for", "payment_token", *removed], "")
        return {"$set": {"due_at": None} | kept, "$unset": unset}
    return [{"$set": {"due_at": due_at} | kept}, {"$unset": ["waits_for", *removed]}]


def _sold(order: Order, at: datetime) -> dict[str, Any]:
    return {"sold_at": at, "sold_cents": int(order.final_amount * 100)}
