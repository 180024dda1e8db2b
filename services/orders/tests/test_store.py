"""What a call costs when the store is unavailable, or has lost something."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.orders import store
from services.orders.errors import OrderChangedError
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import build_placed

pytestmark = pytest.mark.integration


def place(orders, order_id="o"):
    return orders.place(order_id, build_placed(), payment_token="t")


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


class TestAnUnavailableStore:
    @pytest.fixture
    def unavailable(self, monkeypatch):
        monkeypatch.setattr(store, "TIMEOUT_MS", 1_200)
        with store.connect("mongodb://127.0.0.1:1/none?replicaSet=rs0") as client:
            yield MongoOrdersRepository(client)

    @pytest.mark.parametrize("call", [lambda orders: orders.find("o"), place, lambda o: o.ping()])
    def test_is_reported_in_time_by_reads_and_transactions(self, unavailable, call):
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            call(unavailable)
        assert time.monotonic() - begun < 2  # the driver looks twice a second

    @pytest.mark.parametrize("call", [lambda orders: orders.find("o"), place])
    def test_is_waited_for_until_the_deadline_of_the_call_only(self, unavailable, call):
        begun = time.monotonic()
        with use(CallContext(deadline=begun + 0.1)), pytest.raises(StoreUnavailableError):
            call(unavailable)
        assert time.monotonic() - begun < 0.8


def test_nothing_is_stored_when_the_deadline_is_over(client):
    orders = MongoOrdersRepository(client)
    with use(CallContext(deadline=time.monotonic())), pytest.raises(StoreUnavailableError):
        place(orders, "o")
    assert orders.find("o") is None


def test_a_conflict_that_outlives_the_call_is_an_unavailable_store(client, monkeypatch):
    monkeypatch.setattr(store, "TIMEOUT_MS", 300)
    orders = MongoOrdersRepository(client)
    with client.start_session() as other, other.start_transaction():
        event = {"order_id": "o", "sequence": 1}
        client.get_default_database().events.insert_one(event, session=other)
        with pytest.raises(StoreUnavailableError):
            place(orders, "o")
        other.abort_transaction()


def test_the_clock_of_the_store_is_right_whatever_the_wall_clock_of_the_instance_says(
    client, monkeypatch
):
    clock = store.StoreClock(client)
    before = datetime.now(UTC)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    first, second = clock.now(), clock.now()
    assert timedelta(0) < second - first < timedelta(seconds=1)
    assert abs(first - before) < timedelta(seconds=2)


def test_an_order_whose_history_was_lost_does_not_break_the_list(client):
    orders = MongoOrdersRepository(client)
    place(orders, "lost")
    kept = place(orders, "kept")
    client.get_default_database().events.delete_many({"order_id": "lost"})
    listed, total = orders.list_by_user("alice", page=1, limit=10)
    assert ([order.order_id for order in listed], total) == ([kept.order_id], 2)


def test_commands_of_a_recorded_call_are_spans_without_values(client, recorded):
    orders = MongoOrdersRepository(client)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with use(CallContext(traceparent=trace)):
        place(orders, "o")
        with pytest.raises(OrderChangedError):
            place(orders, "o")
    operations = [each.attributes["db.operation.name"] for each in recorded]
    assert operations.count("insert") == 3
    assert {each.attributes["db.collection.name"] for each in recorded} >= {"events", "orders"}
    assert not [each for each in recorded if "12" in str(each.attributes)]
    orders.find("o")
    assert len(recorded) == len(operations)
