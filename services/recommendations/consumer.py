"""Converts integration events into changes of the graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from google.protobuf import message
from mamie_rosa.events.v1 import events_pb2

from services.common.messaging import queues
from services.common.messaging.events import CloudEvent
from services.recommendations.domain import (
    Change,
    CustomerChanged,
    OrderCancelled,
    OrderPlaced,
    Product,
    normalize_animal,
)
from services.recommendations.repository import RecommendationsRepository

log = structlog.get_logger()


class InvalidEventError(ValueError):
    """An event has an unknown type or lacks a required field."""


class EventHandler:
    """Applies the change of each event once; the changes of a batch in one transaction."""

    def __init__(self, *, repository: RecommendationsRepository) -> None:
        self._repository = repository

    def handle(self, event: CloudEvent) -> None:
        """Record an event as processed and apply its change, in one transaction."""
        self.handle_all([event])

    def handle_all(self, events: Sequence[CloudEvent]) -> None:
        """Record events as processed and apply their changes, in one transaction."""
        changes = {event.id: to_change(event) for event in events}
        new = self._repository.apply_all(changes)
        for event_id in changes.keys() - new:
            log.info("event_already_processed", event_id=event_id)


def to_change(event: CloudEvent) -> Change:
    """Convert an event into its change.

    InvalidEventError, or protobuf's DecodeError, when it cannot be converted.
    """
    if event.type not in CONVERTERS:
        raise InvalidEventError(f"unknown event type {event.type}")
    message_class, convert = CONVERTERS[event.type]
    data: Any = message_class.FromString(event.data)
    if not data.user_id:
        raise InvalidEventError("the event has no user id")
    return convert(data, event)


def _customer_changed(
    data: events_pb2.UserCreated | events_pb2.UserUpdated, event: CloudEvent
) -> CustomerChanged:
    return CustomerChanged(
        user_id=data.user_id,
        animal_type=normalize_animal(data.animal_type),
        as_of=event.time,
        version=data.version,
    )


def _order_created(data: events_pb2.OrderCreated, event: CloudEvent) -> OrderPlaced:
    products = {line.product_id: _product(line) for line in data.items}
    if not data.order_id or not all(products):
        raise InvalidEventError("the event has no order id, or a line without a product id")
    return OrderPlaced(
        order_id=data.order_id,
        user_id=data.user_id,
        products=list(products.values()),
        as_of=event.time,
    )


def _order_cancelled(data: events_pb2.OrderCancelled, _event: CloudEvent) -> OrderCancelled:
    if not data.order_id:
        raise InvalidEventError("the event has no order id")
    return OrderCancelled(order_id=data.order_id, user_id=data.user_id)


def _product(line: events_pb2.OrderLine) -> Product:
    return Product(line.product_id, line.sku, line.title, line.category)


CONVERTERS: Mapping[str, tuple[type[message.Message], Callable[..., Change]]] = {
    message_class.DESCRIPTOR.full_name: (message_class, convert)
    for message_class, convert in (
        (events_pb2.UserCreated, _customer_changed),
        (events_pb2.UserUpdated, _customer_changed),
        (events_pb2.OrderCreated, _order_created),
        (events_pb2.OrderCancelled, _order_cancelled),
    )
}
"""The message and the converter of each event type."""

QUEUE = queues.RECOMMENDATIONS
