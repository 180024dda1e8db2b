"""The orders' outbox, on a real MongoDB."""

from datetime import timedelta

import pytest

from services.common.tests.outbox_contract import OutboxContract
from services.orders import events
from services.orders.outbox import LOCK_DURATION, MongoOutbox
from services.orders.repository import MongoOrdersRepository
from services.orders.store import connect, migrate
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

    def expire_lock(self, outbox):
        outbox._database.locks.update_one({"_id": "outbox"}, [{"$set": {"until": "$$NOW"}}])

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
