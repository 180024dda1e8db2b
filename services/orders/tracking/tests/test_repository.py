"""The contract of the feed repository, in memory and in MongoDB."""

import asyncio
import gc
import uuid
import warnings
from contextlib import asynccontextmanager

import pytest

from services.common.errors import StoreUnavailableError
from services.orders import store
from services.orders.events import OrderConfirmed, PaymentStarted
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import (
    InMemoryOrdersRepository,
    build_placed,
)
from services.orders.tracking.repository import MongoFeedRepository
from services.orders.tracking.tests.fakes import InMemoryFeedRepository


class InMemory:
    """Orders in memory, and a feed of them."""

    def __init__(self):
        self._orders = InMemoryOrdersRepository()

    @asynccontextmanager
    async def opened(self):
        self._feed = InMemoryFeedRepository(self._orders)
        yield self._feed

    async def place(self, order_id):
        self._orders.place(order_id, build_placed(), payment_token="t")

    async def append(self, order_id, *events):
        self._feed.append(order_id, *events)


class InMongo:
    """Orders in MongoDB, written by one client and read by another."""

    def __init__(self, url, client):
        self._url = url
        self._orders = MongoOrdersRepository(client)

    @asynccontextmanager
    async def opened(self):
        feed = MongoFeedRepository(store.connect_async(self._url))
        yield feed
        await feed.close()

    async def place(self, order_id):
        await asyncio.to_thread(self._orders.place, order_id, build_placed(), payment_token="t")

    async def append(self, order_id, *events):
        order = await asyncio.to_thread(self._orders.load, order_id)
        await asyncio.to_thread(self._orders.append, order, events)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def orders(request):
    if request.param == "memory":
        yield InMemory()
        return
    url = request.getfixturevalue("mongodb_url")
    with store.connect(url) as client:
        store.migrate(client)
        yield InMongo(url, client)


def run(scenario):
    """Run a scenario, and ignore connections that are not closed at its end.

    The driver leaves a connection that was being opened when its client was closed to the
    garbage collector.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(scenario)
        gc.collect()


def new_id():
    return str(uuid.uuid4())


def test_a_history_is_read_after_any_event(orders):
    async def scenario():
        order_id = new_id()
        async with orders.opened() as feed:
            await orders.place(order_id)
            await orders.append(order_id, PaymentStarted(), OrderConfirmed())
            whole = await feed.history(order_id)
            assert [recorded.sequence for recorded in whole] == [1, 2, 3]
            assert [recorded.event for recorded in whole[1:]] == [
                PaymentStarted(),
                OrderConfirmed(),
            ]
            assert await feed.history(order_id, after=1) == whole[1:]
            assert await feed.history(order_id, after=3) == []

    run(scenario())


def test_an_unknown_order_has_no_history(orders):
    async def scenario():
        async with orders.opened() as feed:
            assert await feed.history("unknown") == []

    run(scenario())


def test_orders_with_new_events_are_watched_from_now_on(orders):
    async def scenario():
        early, late = new_id(), new_id()
        async with orders.opened() as feed:
            await orders.place(early)
            await orders.place(late)
            async with feed.watch() as changed, asyncio.timeout(10):
                await orders.append(late, PaymentStarted())
                await orders.append(early, PaymentStarted(), OrderConfirmed())
                assert [await anext(changed) for _ in range(3)] == [late, early, early]

    run(scenario())


@pytest.mark.integration
def test_an_unavailable_store_is_reported(monkeypatch):
    monkeypatch.setattr(store, "TIMEOUT_MS", 200)

    async def scenario():
        client = store.connect_async("mongodb://127.0.0.1:1/none?replicaSet=rs0")
        feed = MongoFeedRepository(client)
        with pytest.raises(StoreUnavailableError):
            await feed.history("o")
        with pytest.raises(StoreUnavailableError):
            async with feed.watch():
                pass
        await feed.close()

    run(scenario())
