"""Each event has the right change of the graph, once."""

from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from mamie_rosa.events.v1 import events_pb2

from services.common.messaging.events import CloudEvent, build_event
from services.recommendations.consumer import (
    CONVERTERS,
    QUEUE,
    EventHandler,
    InvalidEventError,
    to_change,
)
from services.recommendations.domain import CustomerChanged, OrderCancelled, OrderPlaced, Product
from services.recommendations.tests.fakes import NOW, InMemoryRecommendationsRepository


def event_of(data, event_id="event-1", now=NOW) -> CloudEvent:
    return build_event(data, source="test", subject="x", now=now, new_id=lambda: event_id)


def order(*names, order_id="order-1", user_id="alice"):
    lines = [
        events_pb2.OrderLine(
            product_id=f"id-{name}", sku=f"sku-{name}", title=name, quantity=2, category="toys"
        )
        for name in names
    ]
    return events_pb2.OrderCreated(order_id=order_id, user_id=user_id, items=lines)


@pytest.mark.parametrize("kind", [events_pb2.UserCreated, events_pb2.UserUpdated])
def test_an_account_has_the_animal(kind):
    change = to_change(event_of(kind(user_id="alice", email="a@b.fr", animal_type="Chat")))
    assert change == CustomerChanged(user_id="alice", animal_type="cat", as_of=NOW)


def test_an_order_has_each_product_once():
    change = to_change(event_of(order("ball", "rope", "ball")))
    products = [Product(f"id-{name}", f"sku-{name}", name, "toys") for name in ("ball", "rope")]
    assert change == OrderPlaced(order_id="order-1", user_id="alice", products=products, as_of=NOW)


def test_a_cancelled_order_is_cancelled_in_the_graph():
    data = events_pb2.OrderCancelled(order_id="order-1", user_id="alice")
    assert to_change(event_of(data)) == OrderCancelled(order_id="order-1", user_id="alice")


@pytest.mark.parametrize(
    "data",
    [
        events_pb2.UserCreated(email="a@b.fr"),
        order("ball", user_id=""),
        order("ball", order_id=""),
        events_pb2.OrderCreated(order_id="o", user_id="u", items=[events_pb2.OrderLine()]),
        events_pb2.OrderCancelled(user_id="alice"),
        events_pb2.StockLow(product_id="p"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_an_event_without_a_required_field_is_invalid(data):
    with pytest.raises(InvalidEventError):
        to_change(event_of(data))


def test_bytes_that_are_not_a_message_are_rejected():
    broken = CloudEvent("1", order().DESCRIPTOR.full_name, "/x", "x", NOW, "", b"\xff")
    with pytest.raises(DecodeError):
        to_change(broken)


def test_an_event_has_one_effect_however_often_it_is_delivered():
    repository = InMemoryRecommendationsRepository()
    handler = EventHandler(repository=repository)
    for _ in range(2):
        handler.handle(event_of(order("ball")))
    handler.handle(event_of(order("ball", order_id="order-2"), "event-2", NOW + timedelta(days=1)))
    (purchase,) = repository.load_candidates("alice", 5).history.purchases
    assert (purchase.count, purchase.last_at) == (2, NOW + timedelta(days=1))


def test_the_queue_is_bound_to_the_event_types():
    assert set(QUEUE.types) == set(CONVERTERS)
