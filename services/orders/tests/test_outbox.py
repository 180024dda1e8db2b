"""The orders' outbox, on a real MongoDB."""

from datetime import timedelta

import pymongo
import pytest

from services.common.tests.outbox_contract import OutboxContract
from services.orders import events
from services.orders.outbox import IDLE_LOOK_SECONDS, LOCK_DURATION, MongoOutbox
from services.orders.repository import MongoOrdersRepository
from services.orders.store import connect, migrate
from services.orders.tests.commands import StartedCommands
from services.orders.tests.fakes import NOW, FakeClock, build_placed

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mongodb_url):
    with connect(mongodb_url) as client:
        migrate(client)
        yield client


class TestMongoOutbox(OutboxContract):
    @pytest.fixture
    def expected(self):
        return ["a", "a", "b"]

    @pytest.fixture
    def outbox(self, client):
        """Two orders; the instance that shipped the first has a slow clock."""
        early, late = FakeClock(NOW), FakeClock(NOW + timedelta(minutes=5))
        orders = MongoOrdersRepository(client, clock=late)
        slow = MongoOrdersRepository(client, clock=early)
        for order_id in ("b", "a"):
            placed = orders.place(order_id, build_placed(), payment_token="t")
            confirmed = orders.append(placed, [events.OrderConfirmed()])
        slow.append(confirmed, [events.OrderShipped(tracking_number="n")])
        return MongoOutbox(client)

    @pytest.fixture(autouse=True)
    def locks(self, client):
        self._locks = client.get_default_database().locks

    def expire_lock(self, outbox):
        self._locks.update_one({"_id": "outbox"}, [{"$set": {"until": "$$NOW"}}])

    def test_a_relay_that_lost_the_lock_does_not_unlock(self, outbox, client):
        overtaken, other, third = (MongoOutbox(client) for _ in range(3))
        with overtaken.take(1) as events:
            assert events
            self.expire_lock(outbox)
            other._lock.acquire(LOCK_DURATION)
        with third.take(1) as events:
            assert list(events) == []

    def test_events_of_an_order_are_in_order_although_clocks_differ(self, outbox):
        with outbox.take(1) as events:
            assert [event.type.rpartition(".")[2] for event in events] == [
                "OrderCreated",
                "OrderShipped",
            ]


@pytest.fixture
def commands():
    return StartedCommands()


@pytest.fixture
def relay(mongodb_url, client, commands):
    """The outbox of an instance: only its own writes and the clock make it look."""
    watched: pymongo.MongoClient = pymongo.MongoClient(
        mongodb_url, tz_aware=True, event_listeners=[commands]
    )
    with watched:
        yield Relay(client, watched)


class Relay:
    """One instance's relay, whose clock stands still, and its orders."""

    def __init__(self, client, watched):
        self.now = 100.0
        self.orders = MongoOrdersRepository(client, clock=FakeClock(NOW))
        self.outbox = MongoOutbox(
            watched, written=self.orders.outbox_written, monotonic=lambda: self.now
        )

    def take(self):
        with self.outbox.take(100) as taken:
            return [event.subject for event in taken]


def confirm(orders, order_id):
    placed = orders.place(order_id, build_placed(), payment_token="t")
    orders.append(placed, [events.OrderConfirmed()])


def test_an_idle_relay_asks_the_store_once_in_a_while(relay, commands):
    assert relay.take() == []
    commands.names.clear()
    assert [relay.take() for _ in range(5)] == [[]] * 5
    assert commands.names == []
    relay.now += IDLE_LOOK_SECONDS
    assert relay.take() == []
    assert commands.names == ["find"]


def test_what_its_instance_writes_is_taken_at_once_in_four_commands(relay, commands):
    assert relay.take() == []
    commands.names.clear()
    confirm(relay.orders, "a")
    assert relay.take() == ["a"]
    assert commands.names == ["findAndModify", "find", "delete", "update"]


def test_what_an_instance_has_written_that_died_is_taken_with_the_next_look(relay, client):
    assert relay.take() == []
    confirm(MongoOrdersRepository(client, clock=FakeClock(NOW)), "a")
    assert relay.take() == []
    relay.now += IDLE_LOOK_SECONDS
    assert relay.take() == ["a"]


def test_events_behind_the_lock_of_another_relay_are_taken_when_it_is_over(relay, client):
    assert relay.take() == []
    confirm(relay.orders, "a")
    with MongoOutbox(client).take(100):
        assert relay.take() == []
        confirm(relay.orders, "b")
        assert relay.take() == []
    assert relay.take() == ["b"]
