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
            placed = orders.place(order_id, build_placed(), payment_token="t", due_at=NOW)
            confirmed = orders.append(placed, [events.OrderConfirmed()], due_at=NOW)
        slow.append(confirmed, [events.OrderShipped(tracking_number="n")], due_at=NOW)
        return MongoOutbox(client, clock=FakeClock(NOW + timedelta(minutes=10)))

    def expire_lock(self, outbox):
        outbox._clock.now += LOCK_DURATION

    def test_events_of_an_order_are_in_order_although_clocks_differ(self, outbox):
        with outbox.take(1) as events:
            assert [event.type.rpartition(".")[2] for event in events] == [
                "OrderCreated",
                "OrderShipped",
            ]
