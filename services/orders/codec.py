"""How events are written down: plain documents, amounts as decimal strings."""

from decimal import Decimal
from typing import Any

import cattrs
from cattrs.preconf.bson import make_converter

from services.orders import domain
from services.orders.domain import Event, Recorded

EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}

_converter: cattrs.Converter = make_converter()
_converter.register_unstructure_hook(Decimal, str)
_converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))


def to_document(event: Event) -> dict[str, Any]:
    """Return the facts of an event as BSON can hold them."""
    return _converter.unstructure(event)


def from_document(type_name: str, data: dict[str, Any]) -> Event:
    """Return the event that a document tells; KeyError for a type that nobody knows."""
    return _converter.structure(data, EVENT_TYPES[type_name])


def from_recorded(order_id: str, recorded: Recorded) -> dict[str, Any]:
    """Return the document of an event that happened to an order."""
    return {
        "order_id": order_id,
        "sequence": recorded.sequence,
        "time": recorded.time,
        "type": type(recorded.event).__name__,
        "data": to_document(recorded.event),
    }


def to_recorded(document: dict[str, Any]) -> Recorded:
    """Return the event that a document of `from_recorded` tells."""
    return Recorded(
        sequence=document["sequence"],
        time=document["time"],
        event=from_document(document["type"], document["data"]),
    )


def describe(event: Event) -> dict[str, str]:
    """Return the simple facts of an event as clients read them: names in camelCase, text.

    What an order was placed with is in the order itself.
    """
    if isinstance(event, domain.OrderPlaced):
        return {}
    return {_camel_case(name): str(value) for name, value in to_document(event).items()}


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
