"""Customers watch orders change: Server-Sent Events through Envoy."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.event_stream import Follower, open_stream, read_events, watch_headers
from tests.support.shop import error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

STATUSES = ["PENDING", "PAYMENT_PROCESSING", "CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"]
WATCHERS = 300


@pytest.fixture
def order_id(shop, customer):
    return customer.place((shop.add_product(), 1))


@pytest.fixture
def confirmed(shop, customer):
    return customer.buy((shop.add_product(), 1))


def move(shop, order_id, status):
    body = {"status": status} | ({"trackingNumber": "TRACK-1"} if status == "SHIPPED" else {})
    answer = shop.admin.post(f"/api/orders/{order_id}/status", body)
    assert answer.status_code == 200, answer.text


def test_changes_arrive_at_once_and_the_stream_ends_with_the_order(shop, customer, order_id):
    with open_stream(shop, customer, order_id) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        arriving = read_events(answer.iter_lines())
        seen = [next(arriving) for _ in range(3)]
        for status in STATUSES[3:]:
            move(shop, order_id, status)
            seen.append(next(arriving))
        assert list(arriving) == []
    assert [event.status for event in seen] == STATUSES
    assert {(event.name, event.data["orderId"]) for event in seen} == {("status", order_id)}
    assert [event.data.get("trackingNumber") for event in seen[3:5]] == [None, "TRACK-1"]


def test_the_id_of_an_event_is_its_position_in_the_history(shop, customer, confirmed):
    history = customer.get(f"/api/orders/{confirmed}/history").json()["events"]
    with open_stream(shop, customer, confirmed) as answer:
        arriving = read_events(answer.iter_lines())
        for event in (next(arriving) for _ in range(3)):
            recorded = history[event.id - 1]
            assert (event.status, event.data["time"]) == (recorded["status"], recorded["time"])


def test_reconnecting_after_each_event_misses_none_and_repeats_none(shop, customer, order_id):
    seen: list[str] = []
    last: int | None = None
    for number in range(len(STATUSES)):
        with open_stream(shop, customer, order_id, last_event_id=last) as answer:
            if number >= 3:
                move(shop, order_id, STATUSES[number])
            event = next(read_events(answer.iter_lines()))
        seen, last = [*seen, event.status], event.id
    assert seen == STATUSES
    with open_stream(shop, customer, order_id, last_event_id=last) as answer:
        assert (answer.status_code, answer.read()) == (204, b"")


def test_the_stream_ends_when_the_order_is_cancelled(shop, customer, confirmed):
    follower = Follower(shop, customer, confirmed)
    follower.until("CONFIRMED")
    customer.cancel(confirmed)
    assert [event.status for event in follower.events] == ["CANCELLED"]


def test_an_administrator_may_watch_any_order(shop, confirmed):
    follower = Follower(shop, shop.admin, confirmed)
    assert follower.until("CONFIRMED")


def test_another_customers_order_cannot_be_watched(shop, customer, other_customer, confirmed):
    path = f"/api/orders/{confirmed}/events"
    assert error_of(other_customer.get(path)) == (403, "NOT_YOURS")
    assert error_of(shop.visitor.get(path)) == (401, "NOT_SIGNED_IN")
    assert error_of(customer.get("/api/orders/nothing/events")) == (404, "ORDER_NOT_FOUND")


def test_an_invalid_last_event_id_is_rejected(customer, confirmed):
    answer = customer.call("GET", f"/api/orders/{confirmed}/events", last_event_id="garbage")
    assert error_of(answer) == (400, "INVALID_LAST_EVENT_ID")


def test_an_idle_stream_is_kept_alive(shop, customer, confirmed):
    with open_stream(shop, customer, confirmed) as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": keep-alive"


class Crowd:
    """Many watchers of one order, each with a connection of its own."""

    def __init__(self, shop, customer, order_id):
        self._headers = watch_headers(customer)
        self._url = f"{shop.url}/api/orders/{order_id}/events"
        self._received = asyncio.Condition()
        self._statuses = []

    async def watch(self, client):
        """Watch the order until its stream ends."""
        async with client.stream("GET", self._url, headers=self._headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    async with self._received:
                        self._statuses += [s for s in STATUSES if f'"status":"{s}"' in line]
                        self._received.notify_all()

    async def until_all(self, status):
        """Return when every watcher has received a status."""
        async with self._received, asyncio.timeout(60):
            await self._received.wait_for(lambda: self._statuses.count(status) == WATCHERS)

    @property
    def statuses(self):
        """Return how often each status was received, by all watchers together."""
        return {status: self._statuses.count(status) for status in STATUSES}


def threads_and_memory(stack):
    """Return (threads, MiB) of each instance of orders."""
    found = {}
    for name in stack.instances("orders"):
        status = Path(f"/proc/{stack.unit(name)['pid']}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        found[name] = (int(fields["Threads"]), int(fields["VmRSS"].split()[0]) // 1024)
    return found


def test_hundreds_of_watchers_take_no_threads(shop, stack, confirmed, say):
    crowd = Crowd(shop, shop.admin, confirmed)

    async def scenario():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            watching = [asyncio.create_task(crowd.watch(client)) for _ in range(WATCHERS)]
            await crowd.until_all("CONFIRMED")
            during = threads_and_memory(stack)
            for status in STATUSES[3:]:
                await asyncio.to_thread(move, shop, confirmed, status)
            await asyncio.gather(*watching)
            return during

    before = threads_and_memory(stack)
    during = asyncio.run(scenario())
    assert crowd.statuses == dict.fromkeys(STATUSES, WATCHERS)
    say(f"{WATCHERS} watchers, (threads, MiB) before: {before}, during: {during}")
    for name, (threads, _) in during.items():
        assert threads - before[name][0] < 30


@pytest.mark.faults
def test_watchers_of_a_stopped_instance_continue_on_another(shop, stack, confirmed):
    followers = [Follower(shop, shop.admin, confirmed) for _ in range(12)]
    for follower in followers:
        follower.until("CONFIRMED")
    before = stack.unit("orders-1")["pid"]
    stack.kill("orders-1", signal.SIGTERM)
    eventually(lambda: stack.unit("orders-1")["pid"] not in (before, None), seconds=30)
    move(shop, confirmed, "PROCESSING")
    assert [next(follower.events).status for follower in followers] == ["PROCESSING"] * 12
    assert sum(follower.connections for follower in followers) > 12
    for status in STATUSES[4:]:
        move(shop, confirmed, status)
    for follower in followers:
        assert [event.status for event in follower.events] == STATUSES[4:]
    eventually(lambda: stack.unit("orders-1")["state"] == "ready", seconds=30)
