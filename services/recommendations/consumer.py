"""What an event teaches the graph."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from google.protobuf import message
from mamie_rosa.events.v1 import events_pb2

from services.common.messaging import rabbitmq
from services.common.messaging.events import CloudEvent
from services.recommendations.domain import (
    Change,
    ClientTold,
    OrderPlaced,
    OrderUndone,
    Product,
    normalize_animal,
)
from services.recommendations.repository import RecommendationsRepository

log = structlog.get_logger()


class UnusableEventError(ValueError):
    """An event is of no known type, or lacks what it is about."""


class EventHandler:
    """Does to the graph what events ask for, each once."""

    def __init__(self, *, repository: RecommendationsRepository) -> None:
        self._repository = repository

    def handle(self, event: CloudEvent) -> None:
        """Remember an event and change the graph, in one step."""
        if not self._repository.apply(event.id, change_of(event)):
            log.info("event_known", event_id=event.id)


def change_of(event: CloudEvent) -> Change:
    """Return what an event asks for.

    UnusableEventError, or protobuf's DecodeError, when nobody can tell.
    """
    if event.type not in CHANGES:
        raise UnusableEventError(f"nobody knows the type {event.type}")
    kind, read = CHANGES[event.type]
    data: Any = kind.FromString(event.data)
    if not data.user_id:
        raise UnusableEventError("it does not say which client it is about")
    return read(data, event)


def _client_told(
    data: events_pb2.UserCreated | events_pb2.UserUpdated, event: CloudEvent
) -> ClientTold:
    return ClientTold(
        user_id=data.user_id, animal_type=normalize_animal(data.animal_type), as_of=event.time
    )


def _order_created(data: events_pb2.OrderCreated, event: CloudEvent) -> OrderPlaced:
    products = {line.product_id: _product(line) for line in data.items}
    if not data.order_id or not all(products):
        raise UnusableEventError("it does not say which order or which products it is about")
    return OrderPlaced(
        order_id=data.order_id,
        user_id=data.user_id,
        products=list(products.values()),
        as_of=event.time,
    )


def _order_cancelled(data: events_pb2.OrderCancelled, _event: CloudEvent) -> OrderUndone:
    if not data.order_id:
        raise UnusableEventError("it does not say which order it is about")
    return OrderUndone(order_id=data.order_id, user_id=data.user_id)


def _product(line: events_pb2.OrderLine) -> Product:
    return Product(line.product_id, line.sku, line.title, line.category)


CHANGES: Mapping[str, tuple[type[message.Message], Callable[..., Change]]] = {
    kind.DESCRIPTOR.full_name: (kind, read)
    for kind, read in (
        (events_pb2.UserCreated, _client_told),
        (events_pb2.UserUpdated, _client_told),
        (events_pb2.OrderCreated, _order_created),
        (events_pb2.OrderCancelled, _order_cancelled),
    )
}
"""How each type of event is read, and what it asks for."""

QUEUE = rabbitmq.Queue("recommendations", tuple(CHANGES))
