"""A rebuild from the event log gives the same graph, also with concurrent events."""

import random
import threading
import uuid
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import pika
import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.events import CloudEvent, build_event
from services.common.tests.broker import patient_connection
from services.recommendations.consumer import QUEUE, EventHandler
from services.recommendations.domain import OrderPlaced
from services.recommendations.rebuild import rebuild
from services.recommendations.tests.fakes import (
    NOW,
    InMemoryRecommendationsRepository,
    build_product,
)
from tests.plugin import server_url
from tests.support.waiting import eventually

EDGES = """
MATCH (c:Client)-[b:BOUGHT]->(p:Product) WHERE c.user_id STARTS WITH $prefix
RETURN c.user_id AS customer, c.animal_type AS animal, p.product_id AS product, p.sku AS sku,
       p.title AS title, p.category AS category, b.orders AS orders, b.times AS times,
       b.trained_at AS trained_at, b.last_at AS last_at
"""


class Shop:
    """Generates events of accounts, orders and cancellations, under ids of its own."""

    def __init__(self, seed):
        self.prefix = uuid.uuid4().hex
        self._chance = random.Random(seed)
        self._count = 0

    def events(self, count):
        orders: list[events_pb2.OrderCreated] = []
        for number in range(8):
            animal = self._chance.choice(["cat", "dog", "rabbit"])
            user = events_pb2.UserCreated(user_id=f"{self.prefix}-{number}", animal_type=animal)
            yield self._event(user, user.user_id)
        for _ in range(count):
            if orders and self._chance.random() < 0.2:
                order = orders.pop(self._chance.randrange(len(orders)))
                cancelled = events_pb2.OrderCancelled(
                    order_id=order.order_id, user_id=order.user_id
                )
                yield self._event(cancelled, order.order_id)
            else:
                orders.append(self._order())
                yield self._event(orders[-1], orders[-1].order_id)

    def _order(self):
        lines = [
            events_pb2.OrderLine(
                product_id=f"{self.prefix}-p{n}", sku=f"sku-{n}", title=f"Product {n}", category="x"
            )
            for n in self._chance.sample(range(12), 3)
        ]
        user_id = f"{self.prefix}-{self._chance.randrange(8)}"
        return events_pb2.OrderCreated(order_id=str(uuid.uuid4()), user_id=user_id, items=lines)

    def _event(self, data, subject) -> CloudEvent:
        self._count += 1
        now = NOW + timedelta(minutes=self._count)
        return build_event(
            data, source="test", subject=subject, now=now, new_id=lambda: str(uuid.uuid4())
        )


@pytest.fixture
def url(request):
    return server_url(request, "rabbitmq")


@pytest.fixture
def channel(url):
    with patient_connection(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@contextmanager
def consuming(url, store, processed):
    """Run a consumer of a queue of its own, which records the ids of processed events."""
    handler = EventHandler(repository=store)

    def handle(event):
        handler.handle(event)
        processed.add(event.id)

    queue = rabbitmq.Queue(f"test-{uuid.uuid4().hex}", QUEUE.types)
    with rabbitmq.connection(url, "test") as connection:
        rabbitmq.declare_queue(connection.channel(), queue)
    consumer = Consumer(queue=queue, handler=handle, url=url)
    consumer.start()
    try:
        yield
    finally:
        consumer.stop()
        with rabbitmq.connection(url, "test") as connection:
            for name in (queue.name, queue.dead):
                connection.channel().queue_delete(name)


class StubLog:
    """A connection, and its channel, to a log that begins at an offset; empty with None."""

    def __init__(self, offset):
        self._offset = offset
        self._published = ""

    def channel(self):
        return self

    def basic_publish(self, *_arguments, properties, **_named):
        self._published = properties.message_id

    def consume(self, _queue, *, arguments):
        assert arguments == {"x-stream-offset": "first"}
        message_id = self._published if self._offset is None else "an event"
        headers = {"x-stream-offset": self._offset or 0}
        yield None, pika.BasicProperties(headers=headers, message_id=message_id), b""

    def __getattr__(self, _name):
        return lambda *_arguments, **_named: None


@pytest.mark.parametrize("offset", [1, 5_000_000, None])
def test_a_log_that_is_not_whole_deletes_nothing(offset):
    repository = InMemoryRecommendationsRepository()
    product = build_product("ball")
    order = OrderPlaced(order_id="order-1", user_id="alice", products=[product], as_of=NOW)
    repository.apply("event-1", order)
    with pytest.raises(SystemExit):
        rebuild(url="", repository=repository, connect=lambda *_: nullcontext(StubLog(offset)))
    assert repository.load_candidates("alice", 5).history.purchases


def edges(graph, shop):
    """Return the purchases of the shop's customers, sorted."""
    found = [dict(row) for row in graph(EDGES, prefix=shop.prefix)]
    for edge in found:
        edge["orders"] = sorted(zip(edge["orders"], edge.pop("times"), strict=True))
    return sorted(found, key=lambda edge: (edge["customer"], edge["product"]))


def publish(channel, events):
    published = list(events)
    for event in published:
        rabbitmq.publish(channel, event)
    return {event.id for event in published}


@pytest.mark.integration
def test_a_rebuilt_graph_equals_the_live_one(store, graph, channel, url):
    shop = Shop(seed=1)
    processed: set[str] = set()
    with consuming(url, store, processed):
        published = publish(channel, shop.events(120))
        eventually(lambda: published <= processed, seconds=30)
    live = edges(graph, shop)
    assert len(live) > 40
    assert rebuild(url=url, repository=store) >= len(published)
    assert edges(graph, shop) == live


@pytest.mark.integration
def test_a_rebuild_with_concurrent_events_gives_the_same_graph(store, graph, channel, url):
    shop = Shop(seed=2)
    processed: set[str] = set()
    published: set[str] = set()
    halfway = threading.Event()

    def publish_all():
        with rabbitmq.connection(url, "test") as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for number, event in enumerate(shop.events(200)):
                published.update(publish(channel, [event]))
                if number == 60:
                    halfway.set()

    publisher = threading.Thread(target=publish_all)
    with consuming(url, store, processed):
        publisher.start()
        assert halfway.wait(30)
        rebuild(url=url, repository=store)
        publisher.join()
        eventually(lambda: published <= processed, seconds=30)
    concurrent = edges(graph, shop)
    rebuild(url=url, repository=store)
    assert edges(graph, shop) == concurrent != []


@pytest.mark.integration
def test_invalid_events_are_skipped(store, graph, channel, url):
    shop = Shop(seed=3)
    broken = CloudEvent(str(uuid.uuid4()), QUEUE.types[0], "/test", "x", NOW, "", b"\xff")
    publish(channel, [broken])
    channel.basic_publish(rabbitmq.EXCHANGE, QUEUE.types[0], b"not an event", mandatory=True)
    publish(channel, shop.events(20))
    rebuild(url=url, repository=store)
    assert edges(graph, shop)
