"""The contracts of the orders and the saga repository, in memory and in MongoDB."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.errors import StoreUnavailableError
from services.orders import domain, errors, events, states, store
from services.orders.events import OrderCancelled, PaymentSettled, PromoReleased, StockReleased
from services.orders.ports import LEASE_DURATION, StepBegun
from services.orders.repository import (
    NOT_COMPLETE,
    TRAIL_LENGTH,
    MongoOrdersRepository,
    MongoSagaRepository,
)
from services.orders.tests.fakes import (
    KIBBLE,
    NOW,
    FakeClock,
    InMemoryOrdersRepository,
    build_placed,
)
from tests.support.waiting import eventually

HOUR, OVER = timedelta(hours=1), timedelta(0)
TRIED = domain.Step.REDEEM_PROMO
REFUNDED = PaymentSettled(refunded=Decimal("23.22"))
COMPENSATION = [OrderCancelled(reason="why"), REFUNDED, PromoReleased(), StockReleased()]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


class InMemory:
    """Orders and sagas in memory."""

    def __init__(self, clock):
        self.orders = InMemoryOrdersRepository(clock)
        self.sagas = self.orders.sagas


class InMongo:
    """Orders and sagas in MongoDB."""

    def __init__(self, client, clock):
        self.orders = MongoOrdersRepository(client, clock=clock)
        self.sagas = MongoSagaRepository(client)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def repositories(request, clock):
    if request.param == "memory":
        return InMemory(clock)
    return InMongo(request.getfixturevalue("client"), clock)


@pytest.fixture
def orders(repositories):
    return repositories.orders


@pytest.fixture
def sagas(repositories):
    return repositories.sagas


def place(orders, order_id=None, lease=LEASE_DURATION, **changes):
    placed = build_placed(**changes)
    chosen = order_id or str(uuid.uuid4())
    return orders.place(chosen, placed, payment_token="tok_ok", lease=lease)


def test_an_order_is_found_as_it_was_placed(orders):
    order = place(orders)
    assert orders.find(order.order_id) == order
    assert orders.load(order.order_id) == order


def test_an_unknown_order_is_not_found(orders):
    assert orders.find("unknown") is None
    assert orders.history("unknown") == []
    with pytest.raises(errors.OrderNotFoundError):
        orders.load("unknown")


def test_an_order_is_placed_once(orders):
    order = place(orders)
    with pytest.raises(errors.OrderChangedError):
        place(orders, order.order_id)


def test_events_are_appended_in_order_and_the_order_is_their_fold(orders):
    order = place(orders)
    after = orders.append(order, COMPENSATION)
    history = orders.history(order.order_id)
    assert [recorded.sequence for recorded in history] == [1, 2, 3, 4, 5]
    assert [recorded.event for recorded in history[1:]] == COMPENSATION
    assert domain.fold(order.order_id, history) == after == orders.load(order.order_id)


def test_of_two_appends_to_the_same_state_one_conflicts(orders):
    order = place(orders)
    orders.append(order, COMPENSATION[:1])
    with pytest.raises(errors.OrderChangedError):
        orders.append(order, COMPENSATION[:1])
    assert len(orders.history(order.order_id)) == 2


def test_the_orders_of_a_customer_are_listed_newest_first(orders, clock):
    ids = []
    for _ in range(3):
        clock.move(seconds=1)
        ids.append(place(orders).order_id)
    place(orders, user_id="bob")
    page, total = orders.list_by_user("alice", page=1, limit=2)
    assert ([order.order_id for order in page], total) == (ids[:0:-1], 3)
    page, _ = orders.list_by_user("alice", page=2, limit=2)
    assert [order.order_id for order in page] == ids[:1]


def test_the_orders_of_a_customer_with_a_product_are_found(orders):
    other = replace(KIBBLE, product_id="other")
    both = place(orders, items=(other, KIBBLE))
    one = place(orders)
    place(orders, items=(other,))
    place(orders, user_id="bob")
    found = orders.list_by_product("alice", KIBBLE.product_id)
    assert {order.order_id: order for order in found} == {both.order_id: both, one.order_id: one}
    assert list(orders.list_by_product("alice", "unknown")) == []


def test_a_new_order_is_due_when_its_lease_ends(orders, sagas):
    place(orders, lease=HOUR)
    assert sagas.claim_due() is None
    order = place(orders, lease=OVER)
    assert sagas.claim_due(lease=HOUR) == order.order_id
    assert sagas.claim_due() is None


def test_a_lease_is_extended_and_given_up(orders, sagas):
    order = place(orders, lease=OVER)
    sagas.extend_leases([order.order_id], lease=HOUR)
    assert sagas.claim_due() is None
    sagas.postpone(order.order_id, delay=OVER, cause="payments")
    assert sagas.claim_due() == order.order_id


def test_a_complete_saga_is_never_due_and_has_no_payment_token(orders, sagas):
    order = place(orders)
    assert sagas.payment_token(order.order_id) == "tok_ok"
    orders.append(order, COMPENSATION)
    sagas.extend_leases([order.order_id], lease=OVER)
    assert sagas.claim_due() is None
    assert sagas.payment_token(order.order_id) == ""


def test_an_order_that_came_to_rest_stays_at_rest_when_another_instance_postpones_it(orders, sagas):
    order = place(orders)
    orders.append(order, COMPENSATION)
    sagas.postpone(order.order_id, delay=OVER, cause="payments")
    assert sagas.claim_due() is None


@pytest.mark.integration
class TestInMongo:
    @pytest.fixture
    def repositories(self, client, clock):
        return InMongo(client, clock)

    def test_of_many_concurrent_appends_one_succeeds(self, orders):
        order = place(orders)

        def cancel(_):
            try:
                return bool(orders.append(order, COMPENSATION[:1]))
            except errors.OrderChangedError:
                return False

        with ThreadPoolExecutor(8) as writers:
            assert sum(writers.map(cancel, range(20))) == 1
        assert len(orders.history(order.order_id)) == 2

    def test_a_lease_is_by_the_clock_of_the_store_whatever_those_of_the_instances_say(
        self, client, clock
    ):
        hour_ahead = MongoOrdersRepository(client, clock=lambda: datetime.now(UTC) + HOUR)
        hour_behind = MongoSagaRepository(client)
        order = place(hour_ahead, lease=OVER)
        assert hour_behind.claim_due(lease=OVER) == order.order_id
        after = hour_ahead.append(order, COMPENSATION[:1], lease=OVER)
        assert hour_behind.claim_due() == after.order_id

    def test_a_due_order_is_found_by_an_index(self, orders, sagas, client):
        for _ in range(50):
            orders.append(place(orders), COMPENSATION)
        place(orders, lease=OVER)
        database = client.get_default_database()
        find = {
            "find": "sagas",
            "filter": NOT_COMPLETE | {"$expr": {"$lte": ["$due_at", "$$NOW"]}},
            "sort": {"due_at": 1},
            "limit": 1,
        }
        explained = database.command("explain", find, verbosity="executionStats")
        assert explained["executionStats"]["totalDocsExamined"] == 1

    def test_a_due_order_is_claimed_by_one_instance(self, orders, sagas):
        ids = {place(orders, lease=OVER).order_id for _ in range(5)}
        claim = lambda _: sagas.claim_due(lease=HOUR)  # noqa: E731
        with ThreadPoolExecutor(8) as instances:
            claimed = [order_id for order_id in instances.map(claim, range(20)) if order_id]
        assert sorted(claimed) == sorted(ids)

    def test_an_integration_event_is_stored_with_its_domain_event(self, orders, client):
        order = place(orders)
        orders.append(order, COMPENSATION)
        (stored,) = client.get_default_database().outbox.find()
        assert (stored["type"], stored["subject"]) == (
            "mamie_rosa.events.v1.OrderCancelled",
            order.order_id,
        )
        cancelled = events_pb2.OrderCancelled.FromString(stored["data"])
        assert (cancelled.refund_amount, cancelled.reason) == ("23.22", "why")

    def test_a_conflicting_append_stores_no_integration_event(self, orders, client):
        order = place(orders)
        orders.append(order, COMPENSATION[:1])
        with pytest.raises(errors.OrderChangedError):
            orders.append(order, COMPENSATION)
        assert client.get_default_database().outbox.count_documents({}) == 0

    def test_orders_with_a_product_are_found_by_an_index(self, orders, client):
        for number in range(50):
            place(orders, user_id=f"customer-{number}")
        database = client.get_default_database()
        find = {
            "distinct": "events",
            "key": "order_id",
            "query": {
                "type": "OrderPlaced",
                "data.user_id": "customer-1",
                "data.items.product_id": KIBBLE.product_id,
            },
        }
        explained = database.command("explain", find, verbosity="executionStats")
        assert explained["executionStats"]["totalDocsExamined"] == 1

    def test_a_step_is_recorded_in_the_trail_or_with_the_event_before_it(
        self, orders, sagas, client
    ):
        order = place(orders)
        sagas.record_step(order.order_id, StepBegun(TRIED, "orders-1"), now=NOW)
        begins = StepBegun(domain.Step.CAPTURE_PAYMENT, "orders-1")
        orders.append(order, [events.PaymentStarted()], begins=begins)
        database = client.get_default_database()
        (tried,) = database.sagas.find_one({"_id": order.order_id})["trail"]
        assert (tried["began"], tried["by"]) == ("REDEEM_PROMO", "orders-1")
        stored = database.events.find_one({"order_id": order.order_id, "sequence": 2})
        assert stored["begins"] == {"step": "CAPTURE_PAYMENT", "by": "orders-1"}

    def test_the_trail_keeps_the_last_entries(self, orders, sagas, client):
        order = place(orders)
        for number in range(TRAIL_LENGTH + 1):
            sagas.record_step(order.order_id, StepBegun(TRIED, f"try-{number}"), now=NOW)
        trail = client.get_default_database().sagas.find_one({"_id": order.order_id})["trail"]
        assert (len(trail), trail[-1]["by"]) == (TRAIL_LENGTH, f"try-{TRAIL_LENGTH}")


@pytest.mark.integration
def test_an_abandoned_transaction_blocks_an_order_for_seconds_only(client, clock):
    orders = MongoOrdersRepository(client, clock=clock)
    order = place(orders)
    collection = client.get_default_database().events
    dead = client.start_session()
    dead.start_transaction()  # which is never committed nor aborted
    collection.insert_one({"order_id": order.order_id, "sequence": 2}, session=dead)

    def append():
        try:
            return orders.append(order, [events.PaymentStarted()])
        except StoreUnavailableError:  # as the saga does: try again
            return None

    after = eventually(append, seconds=8)
    assert after.status is states.OrderStatus.PAYMENT_PROCESSING
