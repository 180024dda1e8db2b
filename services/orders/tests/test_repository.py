"""The promises of an orders repository, kept by the fake and by the real store."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.errors import StoreUnavailableError
from services.orders import domain, store
from services.orders.domain import OrderCancelled, PaymentSettled, PromoReleased, StockReleased
from services.orders.repository import TRAIL_LENGTH, MongoOrdersRepository
from services.orders.tests.fakes import (
    KIBBLE,
    NOW,
    FakeClock,
    InMemoryOrdersRepository,
    build_placed,
)
from tests.support.waiting import eventually

LATER = NOW + timedelta(seconds=2)
REFUNDED = PaymentSettled(refunded=Decimal("23.22"))
BACKWARD = [OrderCancelled(reason="why"), REFUNDED, PromoReleased(), StockReleased()]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def orders(request, clock):
    if request.param == "memory":
        return InMemoryOrdersRepository(clock)
    return MongoOrdersRepository(request.getfixturevalue("client"), clock=clock)


def place(orders, order_id=None, **changes):
    placed = build_placed(**changes)
    chosen = order_id or str(uuid.uuid4())
    return orders.place(chosen, placed, payment_token="tok_ok", due_at=LATER)


def test_an_order_is_found_as_it_was_placed(orders):
    order = place(orders)
    assert orders.find(order.order_id) == order
    assert orders.load(order.order_id) == order


def test_an_unknown_order_is_not_found(orders):
    assert orders.find("nothing") is None
    assert orders.history("nothing") == []
    with pytest.raises(domain.OrderNotFoundError):
        orders.load("nothing")


def test_an_order_is_placed_once(orders):
    order = place(orders)
    with pytest.raises(domain.OrderChangedError):
        place(orders, order.order_id)


def test_events_are_added_in_order_and_the_order_is_their_fold(orders):
    order = place(orders)
    after = orders.append(order, BACKWARD, due_at=LATER)
    history = orders.history(order.order_id)
    assert [recorded.sequence for recorded in history] == [1, 2, 3, 4, 5]
    assert [recorded.event for recorded in history[1:]] == BACKWARD
    assert domain.fold(order.order_id, history) == after == orders.load(order.order_id)


def test_of_two_decisions_on_the_same_state_one_is_refused(orders):
    order = place(orders)
    orders.append(order, BACKWARD[:1], due_at=LATER)
    with pytest.raises(domain.OrderChangedError):
        orders.append(order, BACKWARD[:1], due_at=LATER)
    assert len(orders.history(order.order_id)) == 2


def test_a_client_lists_their_own_orders_newest_first(orders, clock):
    ids = []
    for _ in range(3):
        clock.move(seconds=1)
        ids.append(place(orders).order_id)
    place(orders, user_id="bob")
    page, total = orders.list_of("alice", page=1, limit=2)
    assert ([order.order_id for order in page], total) == (ids[:0:-1], 3)
    page, _ = orders.list_of("alice", page=2, limit=2)
    assert [order.order_id for order in page] == ids[:1]


def test_the_orders_of_a_client_that_have_a_product_are_found(orders):
    other = replace(KIBBLE, product_id="other")
    both = place(orders, items=(other, KIBBLE))
    one = place(orders)
    place(orders, items=(other,))
    place(orders, user_id="bob")
    found = orders.with_product("alice", KIBBLE.product_id)
    assert {order.order_id: order for order in found} == {both.order_id: both, one.order_id: one}
    assert list(orders.with_product("alice", "nothing")) == []


def test_a_new_order_is_due_when_its_lease_is_over(orders):
    order = place(orders)
    assert orders.claim_due(now=NOW, due_at=LATER) is None
    assert orders.claim_due(now=LATER, due_at=LATER + timedelta(1)) == order.order_id
    assert orders.claim_due(now=LATER, due_at=LATER) is None


def test_a_lease_is_extended_and_shortened(orders):
    order = place(orders)
    orders.extend([order.order_id], due_at=LATER + timedelta(seconds=2))
    assert orders.claim_due(now=LATER, due_at=LATER) is None
    orders.postpone(order.order_id, due_at=NOW, why="payments")
    assert orders.claim_due(now=NOW, due_at=LATER) == order.order_id


def test_an_order_at_rest_is_never_due_and_forgets_its_token(orders):
    order = place(orders)
    assert orders.payment_token(order.order_id) == "tok_ok"
    orders.append(order, BACKWARD, due_at=LATER)
    orders.extend([order.order_id], due_at=NOW)
    assert orders.claim_due(now=LATER + timedelta(days=1), due_at=LATER) is None
    assert orders.payment_token(order.order_id) == ""


@pytest.mark.integration
class TestInTheStore:
    @pytest.fixture
    def orders(self, client, clock):
        return MongoOrdersRepository(client, clock=clock)

    def test_of_many_writers_at_once_one_wins(self, orders):
        order = place(orders)

        def cancel(_):
            try:
                return bool(orders.append(order, BACKWARD[:1], due_at=LATER))
            except domain.OrderChangedError:
                return False

        with ThreadPoolExecutor(8) as writers:
            assert sum(writers.map(cancel, range(20))) == 1
        assert len(orders.history(order.order_id)) == 2

    def test_an_order_that_is_due_is_claimed_by_one(self, orders):
        ids = {place(orders).order_id for _ in range(5)}
        claim = lambda _: orders.claim_due(now=LATER, due_at=LATER + timedelta(1))  # noqa: E731
        with ThreadPoolExecutor(8) as drivers:
            claimed = [order_id for order_id in drivers.map(claim, range(20)) if order_id]
        assert sorted(claimed) == sorted(ids)

    def test_what_the_bus_has_to_hear_is_kept_with_the_event(self, orders, client):
        order = place(orders)
        orders.append(order, BACKWARD, due_at=LATER)
        (told,) = client.get_default_database().outbox.find()
        assert (told["type"], told["subject"]) == (
            "mamie_rosa.events.v1.OrderCancelled",
            order.order_id,
        )
        cancelled = events_pb2.OrderCancelled.FromString(told["data"])
        assert (cancelled.refund_amount, cancelled.reason) == ("23.22", "why")

    def test_nothing_is_told_of_a_decision_that_was_refused(self, orders, client):
        order = place(orders)
        orders.append(order, BACKWARD[:1], due_at=LATER)
        with pytest.raises(domain.OrderChangedError):
            orders.append(order, BACKWARD, due_at=LATER)
        assert client.get_default_database().outbox.count_documents({}) == 0

    def test_who_bought_what_is_found_without_reading_every_event(self, orders, client):
        for number in range(50):
            place(orders, user_id=f"client-{number}")
        database = client.get_default_database()
        find = {
            "distinct": "events",
            "key": "order_id",
            "query": {
                "type": "OrderPlaced",
                "data.user_id": "client-1",
                "data.items.product_id": KIBBLE.product_id,
            },
        }
        explained = database.command("explain", find, verbosity="executionStats")
        assert explained["executionStats"]["totalDocsExamined"] == 1

    def test_what_was_tried_and_done_is_recorded(self, orders, client):
        order = place(orders)
        orders.begin_step(order.order_id, domain.Step.EXPIRE, by="orders-1", now=NOW)
        orders.append(order, BACKWARD[:1], due_at=LATER)
        trail = client.get_default_database().sagas.find_one({"_id": order.order_id})["trail"]
        assert [entry.get("began") or entry.get("did") for entry in trail] == [
            "EXPIRE",
            "OrderCancelled",
        ]

    def test_of_an_order_that_is_tried_for_long_the_last_tries_are_kept(self, orders, client):
        order = place(orders)
        for number in range(TRAIL_LENGTH + 1):
            orders.begin_step(order.order_id, domain.Step.EXPIRE, by=f"try-{number}", now=NOW)
        trail = client.get_default_database().sagas.find_one({"_id": order.order_id})["trail"]
        assert (len(trail), trail[-1]["by"]) == (TRAIL_LENGTH, f"try-{TRAIL_LENGTH}")


@pytest.mark.integration
def test_who_died_in_the_middle_of_a_transaction_is_not_in_the_way_for_long(client, clock):
    orders = MongoOrdersRepository(client, clock=clock)
    order = place(orders)
    events = client.get_default_database().events
    dead = client.start_session()
    dead.start_transaction()  # and nobody ever commits it or gives it up
    events.insert_one({"order_id": order.order_id, "sequence": 2}, session=dead)

    def go_on():
        try:
            return orders.append(order, [domain.PaymentStarted()], due_at=LATER)
        except StoreUnavailableError:  # the saga tries again, too
            return None

    after = eventually(go_on, seconds=8)
    assert after.status is domain.OrderStatus.PAYMENT_PROCESSING


@pytest.mark.integration
def test_a_store_that_is_away_is_said_so(monkeypatch):
    monkeypatch.setattr(store, "TIMEOUT_MS", 200)
    with (
        store.connect("mongodb://127.0.0.1:1/none?replicaSet=rs0") as client,
        pytest.raises(StoreUnavailableError),
    ):
        MongoOrdersRepository(client).find("o")
