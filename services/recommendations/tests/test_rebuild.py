"""Building the graph again out of the log: the same graph, whatever happens meanwhile."""

import random
import threading
import uuid
from contextlib import contextmanager
from datetime import timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.events import CloudEvent, build_event
from services.recommendations.consumer import QUEUE, EventHandler
from services.recommendations.rebuild import rebuild
from services.recommendations.tests.fakes import NOW
from tests.plugin import server_url
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

EDGES = """
MATCH (c:Client)-[b:BOUGHT]->(p:Product) WHERE c.user_id STARTS WITH $mine
RETURN c.user_id AS client, c.animal_type AS animal, p.product_id AS product, p.sku AS sku,
       p.title AS title, p.category AS category, b.orders AS orders, b.times AS times,
       b.trained_at AS trained_at, b.last_at AS last_at
"""


class Shop:
    """Tells of accounts and orders, of which some are cancelled, under ids of its own."""

    def __init__(self, seed):
        self.mine = uuid.uuid4().hex
        self._chance = random.Random(seed)
        self._told = 0

    def events(self, count):
        orders: list[events_pb2.OrderCreated] = []
        for number in range(8):
            animal = self._chance.choice(["cat", "dog", "rabbit"])
            user = events_pb2.UserCreated(user_id=f"{self.mine}-{number}", animal_type=animal)
            yield self._event(user, user.user_id)
        for _ in range(count):
            if orders and self._chance.random() < 0.2:
                order = orders.pop(self._chance.randrange(len(orders)))
                told = events_pb2.OrderCancelled(order_id=order.order_id, user_id=order.user_id)
                yield self._event(told, order.order_id)
            else:
                orders.append(self._order())
                yield self._event(orders[-1], orders[-1].order_id)

    def _order(self):
        lines = [
            events_pb2.OrderLine(
                product_id=f"{self.mine}-p{n}", sku=f"sku-{n}", title=f"Product {n}", category="x"
            )
            for n in self._chance.sample(range(12), 3)
        ]
        user_id = f"{self.mine}-{self._chance.randrange(8)}"
        return events_pb2.OrderCreated(order_id=str(uuid.uuid4()), user_id=user_id, items=lines)

    def _event(self, data, subject) -> CloudEvent:
        self._told += 1
        now = NOW + timedelta(minutes=self._told)
        return build_event(
            data, source="test", subject=subject, now=now, new_id=lambda: str(uuid.uuid4())
        )


@pytest.fixture
def url(request):
    return server_url(request, "rabbitmq")


@pytest.fixture
def channel(url):
    with rabbitmq.connection(url, "test") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@contextmanager
def learning(url, store, seen):
    """Run a consumer of a queue of its own that notes what it has handled."""
    handler = EventHandler(repository=store)

    def handle(event):
        handler.handle(event)
        seen.add(event.id)

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


def ids() -> set[str]:
    return set()


def edges(graph, shop):
    """Return what the shop's clients bought, so that equal graphs are equal lists."""
    found = [dict(row) for row in graph(EDGES, mine=shop.mine)]
    for edge in found:
        edge["orders"] = sorted(zip(edge["orders"], edge.pop("times"), strict=True))
    return sorted(found, key=lambda edge: (edge["client"], edge["product"]))


def publish(channel, events):
    told = list(events)
    for event in told:
        rabbitmq.publish(channel, event)
    return {event.id for event in told}


def test_the_graph_that_is_rebuilt_is_the_one_that_was_trained_live(store, graph, channel, url):
    shop, seen = Shop(seed=1), ids()
    with learning(url, store, seen):
        told = publish(channel, shop.events(120))
        eventually(lambda: told <= seen, seconds=30)
    live = edges(graph, shop)
    assert len(live) > 40
    assert rebuild(url=url, repository=store) >= len(told)
    assert edges(graph, shop) == live


def test_a_service_that_learns_meanwhile_does_not_spoil_it(store, graph, channel, url):
    shop, seen, told = Shop(seed=2), ids(), ids()
    halfway = threading.Event()

    def go_on():
        with rabbitmq.connection(url, "test") as connection:
            other = connection.channel()
            other.confirm_delivery()
            for number, event in enumerate(shop.events(200)):
                told.update(publish(other, [event]))
                if number == 60:
                    halfway.set()

    publisher = threading.Thread(target=go_on)
    with learning(url, store, seen):
        publisher.start()
        assert halfway.wait(30)
        rebuild(url=url, repository=store)
        publisher.join()
        eventually(lambda: told <= seen, seconds=30)
    while_learning = edges(graph, shop)
    rebuild(url=url, repository=store)
    assert edges(graph, shop) == while_learning != []


def test_what_nobody_can_read_is_left_out(store, graph, channel, url):
    shop = Shop(seed=3)
    broken = CloudEvent(str(uuid.uuid4()), QUEUE.types[0], "/test", "x", NOW, "", b"\xff")
    publish(channel, [broken])
    channel.basic_publish(rabbitmq.EXCHANGE, QUEUE.types[0], b"no event", mandatory=True)
    publish(channel, shop.events(20))
    rebuild(url=url, repository=store)
    assert edges(graph, shop)
