"""Orders that are followed as they change: Server-Sent Events, through Envoy."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.event_stream import Follower, events, headers_of, opened
from tests.support.shop import problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

STATUSES = ["PENDING", "PAYMENT_PROCESSING", "CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"]
WATCHERS = 300


@pytest.fixture
def order_id(shop, alice):
    return alice.place((shop.add_product(), 1))


@pytest.fixture
def confirmed(alice, order_id):
    alice.await_status(order_id, "CONFIRMED")
    return order_id


def move(shop, order_id, status):
    body = {"status": status} | ({"trackingNumber": "TRACK-1"} if status == "SHIPPED" else {})
    answer = shop.admin.post(f"/api/orders/{order_id}/status", body)
    assert answer.status_code == 200, answer.text


def test_changes_arrive_as_they_happen_and_the_stream_ends_with_the_order(shop, alice, order_id):
    with opened(shop, alice, order_id) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        arriving = events(answer.iter_lines())
        seen = [next(arriving) for _ in range(3)]
        for status in STATUSES[3:]:
            move(shop, order_id, status)
            seen.append(next(arriving))
        assert list(arriving) == []
    assert [event.status for event in seen] == STATUSES
    assert {(event.name, event.data["orderId"]) for event in seen} == {("status", order_id)}
    assert [event.data.get("trackingNumber") for event in seen[3:5]] == [None, "TRACK-1"]


def test_an_event_has_its_place_in_the_history_as_its_id(shop, alice, confirmed):
    history = alice.get(f"/api/orders/{confirmed}/history").json()["events"]
    with opened(shop, alice, confirmed) as answer:
        arriving = events(answer.iter_lines())
        for event in (next(arriving) for _ in range(3)):
            recorded = history[event.id - 1]
            assert (event.status, event.data["time"]) == (recorded["status"], recorded["time"])


def test_who_is_cut_off_after_each_event_misses_none_and_repeats_none(shop, alice, order_id):
    seen: list[str] = []
    last: int | None = None
    for number in range(len(STATUSES)):
        with opened(shop, alice, order_id, last=last) as answer:
            if number >= 3:
                move(shop, order_id, STATUSES[number])
            event = next(events(answer.iter_lines()))
        seen, last = [*seen, event.status], event.id
    assert seen == STATUSES
    with opened(shop, alice, order_id, last=last) as answer:
        assert (answer.status_code, answer.read()) == (204, b"")


def test_a_cancelled_order_says_so_and_ends(shop, alice, confirmed):
    follower = Follower(shop, alice, confirmed)
    follower.until("CONFIRMED")
    alice.post(f"/api/orders/{confirmed}/cancel", {"reason": "changed my mind"})
    assert [event.status for event in follower.events] == ["CANCELLED"]


def test_an_administrator_may_follow_too(shop, confirmed):
    follower = Follower(shop, shop.admin, confirmed)
    assert follower.until("CONFIRMED")


def test_an_order_is_not_for_others_to_follow(shop, alice, confirmed):
    path = f"/api/orders/{confirmed}/events"
    assert problem(shop.register().get(path)) == (403, "NOT_YOURS")
    assert problem(shop.visitor.get(path)) == (401, "NOT_SIGNED_IN")
    assert problem(alice.get("/api/orders/nothing/events")) == (404, "ORDER_NOT_FOUND")


def test_an_id_that_was_never_sent_is_refused(alice, confirmed):
    answer = alice.call("GET", f"/api/orders/{confirmed}/events", last_event_id="garbage")
    assert problem(answer) == (400, "INVALID_LAST_EVENT_ID")


def test_while_nothing_happens_the_line_is_kept_alive(shop, alice, confirmed):
    with opened(shop, alice, confirmed) as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": keep-alive"


class Crowd:
    """Many who follow one order at once, over connections of their own."""

    def __init__(self, shop, person, order_id):
        self._headers = headers_of(person)
        self._url = f"{shop.url}/api/orders/{order_id}/events"
        self._seen = asyncio.Condition()
        self._statuses = []

    async def follow(self, client):
        """Follow the order until its stream ends."""
        async with client.stream("GET", self._url, headers=self._headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    async with self._seen:
                        self._statuses += [s for s in STATUSES if f'"status":"{s}"' in line]
                        self._seen.notify_all()

    async def until_all(self, status):
        """Return when everybody has seen a status."""
        async with self._seen, asyncio.timeout(60):
            await self._seen.wait_for(lambda: self._statuses.count(status) == WATCHERS)

    @property
    def statuses(self):
        """Return how often each status was seen, by all together."""
        return {status: self._statuses.count(status) for status in STATUSES}


def figures(stack):
    """Return the threads and the memory of each instance of orders."""
    found = {}
    for name in stack.instances("orders"):
        status = Path(f"/proc/{stack.unit(name)['pid']}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        found[name] = (int(fields["Threads"]), int(fields["VmRSS"].split()[0]) // 1024)
    return found


def test_hundreds_follow_at_once_and_nobody_takes_a_thread(shop, stack, alice, confirmed, say):
    crowd = Crowd(shop, alice, confirmed)

    async def scenario():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            following = [asyncio.create_task(crowd.follow(client)) for _ in range(WATCHERS)]
            await crowd.until_all("CONFIRMED")
            during = figures(stack)
            for status in STATUSES[3:]:
                await asyncio.to_thread(move, shop, confirmed, status)
            await asyncio.gather(*following)
            return during

    before = figures(stack)
    during = asyncio.run(scenario())
    assert crowd.statuses == dict.fromkeys(STATUSES, WATCHERS)
    say(f"{WATCHERS} watchers, (threads, MiB) before: {before}, during: {during}")
    for name, (threads, _) in during.items():
        assert threads - before[name][0] < 30


@pytest.mark.faults
def test_who_follows_on_an_instance_that_leaves_goes_on_elsewhere(shop, stack, alice, confirmed):
    followers = [Follower(shop, alice, confirmed) for _ in range(12)]
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
