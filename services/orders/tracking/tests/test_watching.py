"""Streams of a running instance with a real store."""

import asyncio
import json
import signal
import uuid
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest

from services.common.tests.fakes import TcpProxy
from services.common.tests.processes import output_of, running
from services.orders import store
from services.orders.events import (
    OrderConfirmed,
    OrderDelivered,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentStarted,
)
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import build_placed
from services.orders.tracking.tests.watchers import Event, WatcherPool
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ALICE = "alice"
FORWARD = [
    PaymentStarted(),
    PaymentCaptured(payment_id="p"),
    OrderConfirmed(),
    OrderPreparationStarted(),
    OrderShipped(tracking_number="TRACK"),
    OrderDelivered(),
]
WHOLE = [
    (1, "PENDING"),
    (2, "PAYMENT_PROCESSING"),
    (4, "CONFIRMED"),
    (5, "PROCESSING"),
    (6, "SHIPPED"),
    (7, "DELIVERED"),
]
CONFIRMED = WHOLE[2]


class Orders:
    """Orders that change only when the test says so."""

    def __init__(self, client):
        self._repository = MongoOrdersRepository(client)

    def place(self):
        """Store an order that no orchestrator drives, and return its id."""
        order_id = str(uuid.uuid4())
        never = build_placed().hold_expires_at.replace(year=2099)
        placed = build_placed(user_id=ALICE, hold_expires_at=never)
        self._repository.place(order_id, placed, payment_token="t")
        return order_id

    def append(self, order_id, *events):
        order = self._repository.load(order_id)
        return self._repository.append(order, events)

    async def append_soon(self, order_id, *events):
        return await asyncio.to_thread(self.append, order_id, *events)


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture
def orders(client):
    return Orders(client)


class Instance:
    """A running instance of orders."""

    def __init__(self, process):
        self.process = process
        self.port = eventually(self._port, seconds=30)

    def _port(self):
        for line in output_of(self.process).splitlines():
            if "service_started" in line:
                return json.loads(line)["ports"]["order-events"]
        assert self.process.poll() is None, output_of(self.process)
        return None

    def figures(self):
        """Return (threads, resident MiB) as the kernel knows them."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["Threads"]), int(fields["VmRSS"].split()[0]) // 1024


@contextmanager
def instance(mongodb_url):
    """Run an instance of orders whose dependencies are unavailable, except the store."""
    unavailable = "127.0.0.1:1"
    settings = {
        "INSTANCE": "orders-1",
        "STORE_URL": mongodb_url,
        "CONSUL_URL": f"http://{unavailable}",
        "BUS_URL": f"amqp://{unavailable}/%2F",
        "XDS_SERVERS": unavailable,
        "DRAIN_SECONDS": "0",
        "STREAMS_PER_CUSTOMER": "1000",
    }
    module = "tests.support.with_test_keys"
    with running(module, "services.orders", "serve", **settings) as process:
        yield Instance(process)


@asynccontextmanager
async def watchers_of(port, user_id=ALICE):
    here = WatcherPool(port, user_id)
    yield here
    await here.close()


def test_changes_arrive_as_they_happen_and_the_stream_ends_with_the_order(mongodb_url, orders):
    async def scenario(port):
        order_id = orders.place()
        async with watchers_of(port) as here:
            watcher = here.watch(order_id)
            await watcher.until(WHOLE[0])
            for sequence, event in enumerate(FORWARD, 2):
                await orders.append_soon(order_id, event)
                if expected := [each for each in WHOLE if each[0] == sequence]:
                    await watcher.until(expected[0])
            await watcher.end()
        assert watcher.events == WHOLE

    with instance(mongodb_url) as here:
        asyncio.run(scenario(here.port))


def test_a_stream_resumed_on_another_instance_misses_and_repeats_nothing(mongodb_url, orders):
    async def scenario(first_port, second_port):
        order_id = orders.place()
        seen: list[Event] = []
        async with watchers_of(first_port) as first, watchers_of(second_port) as second:
            for number, event in enumerate(FORWARD):
                last = seen[-1][0] if seen else 0
                watcher = (first, second)[number % 2].watch(order_id, last=last)
                if not seen:
                    await watcher.until(WHOLE[0])
                after = await orders.append_soon(order_id, event)
                if expected := [each for each in WHOLE if each[0] == after.sequence]:
                    await watcher.until(expected[0])
                seen += watcher.events
                await watcher.cancel()
        assert seen == WHOLE

    with instance(mongodb_url) as first, instance(mongodb_url) as second:
        asyncio.run(scenario(first.port, second.port))


def test_another_customers_order_and_an_unknown_order_are_rejected(mongodb_url, orders):
    async def scenario(port):
        order_id = orders.place()
        async with watchers_of(port, "bob") as bobs, watchers_of(port) as owners:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await bobs.watch(order_id).end()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await owners.watch("unknown").end()
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    with instance(mongodb_url) as here:
        asyncio.run(scenario(here.port))


def test_an_instance_that_drains_ends_its_streams_without_an_error(mongodb_url, orders):
    async def scenario(here):
        order_id = orders.place()
        async with watchers_of(here.port) as there:
            watchers = [there.watch(order_id) for _ in range(20)]
            for watcher in watchers:
                await watcher.until(WHOLE[0])
            here.process.send_signal(signal.SIGTERM)
            for watcher in watchers:
                await watcher.end()

    with instance(mongodb_url) as here:
        asyncio.run(scenario(here))
        assert here.process.wait(timeout=20) == 0
        text = output_of(here.process)
    assert "service_stopped" in text
    errors = [line for line in text.splitlines() if "Traceback" in line and "pika" not in line]
    assert errors == []


def test_three_hundred_watchers_need_no_thread_each(mongodb_url, orders, say):
    async def scenario(here):
        ids = [orders.place() for _ in range(30)]
        async with watchers_of(here.port) as there:
            first = there.watch(ids[0])
            await first.until(WHOLE[0])
            alone = here.figures()
            watchers = [(there.watch(order_id), order_id) for order_id in ids * 10]
            for watcher, _ in watchers:
                await watcher.until(WHOLE[0])
            many = here.figures()
            for order_id in ids:
                await orders.append_soon(order_id, *FORWARD[:3])
            for watcher, _ in watchers:
                await watcher.until(CONFIRMED)
            for order_id in ids:
                await orders.append_soon(order_id, *FORWARD[3:])
            for watcher, _ in watchers:
                await watcher.end()
            assert all(watcher.events == WHOLE for watcher, _ in watchers)
        return alone, many

    with instance(mongodb_url) as here:
        alone, many = asyncio.run(scenario(here))
    say(
        f"1 watcher: {alone[0]} threads, {alone[1]} MiB;"
        f" 301 watchers: {many[0]} threads, {many[1]} MiB"
    )
    assert many[0] - alone[0] < 10
    assert many[1] - alone[1] < 100


def test_no_event_is_lost_while_the_store_is_unavailable(mongodb_url, orders):
    parts = urlsplit(mongodb_url)
    proxy = TcpProxy(parts.hostname, parts.port)
    proxy.open()
    # A client that knew the replica set would bypass the proxy.
    url = f"mongodb://127.0.0.1:{proxy.port}{parts.path}?directConnection=true"

    async def scenario(port):
        order_id = orders.place()
        async with watchers_of(port) as here:
            watcher = here.watch(order_id)
            await watcher.until(WHOLE[0])
            proxy.shut()
            await orders.append_soon(order_id, *FORWARD[:3])
            proxy.open()
            await watcher.until(CONFIRMED)
            await orders.append_soon(order_id, *FORWARD[3:])
            await watcher.end()
            assert watcher.events == WHOLE

    with instance(url) as here:
        asyncio.run(scenario(here.port))
    proxy.shut()
