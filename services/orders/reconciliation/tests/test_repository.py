"""The contract of the reconciliation repository, in memory and in MongoDB."""

import uuid
from datetime import timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.orders import events, store
from services.orders.outbox import MongoOutbox
from services.orders.reconciliation.domain import Discrepancy, Finding, Kind, Scope
from services.orders.reconciliation.records import (
    BrokenHistory,
    IndexEntry,
    OrderRecords,
    SagaEntry,
)
from services.orders.reconciliation.repository import (
    MAX_DISCREPANCIES_PER_EVENT,
    MongoReconciliationRepository,
)
from services.orders.reconciliation.tests.fakes import InMemoryReconciliationRepository
from services.orders.repository import MongoOrdersRepository, MongoSagaRepository
from services.orders.tests.fakes import NOW, FakeClock, build_placed

HOUR = timedelta(hours=1)
LATER = NOW + timedelta(minutes=1)
ORDERS = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "039af"]


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture
def mongo(client):
    return MongoReconciliationRepository(client, clock=lambda: NOW)


@pytest.fixture
def orders(client):
    return MongoOrdersRepository(client, clock=lambda: NOW)


@pytest.fixture
def sagas(client):
    return MongoSagaRepository(client)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def repository(request):
    real = request.param == "mongodb"
    return request.getfixturevalue("mongo") if real else InMemoryReconciliationRepository()


def finding(order_id, kind=Kind.ORDER_NOT_PAID, failure=""):
    facts = {"orderStatus": "CONFIRMED"}
    discrepancy = Discrepancy(kind=kind, order_id=order_id, facts=facts)
    return Finding(discrepancy=discrepancy, failure=failure)


def place(orders, order_id):
    return orders.place(order_id, build_placed(), payment_token="t")


def save(repository, *findings, first="", next_order_id=""):
    return repository.save_open_findings(findings, Scope(first=first, next_order_id=next_order_id))


def test_a_finding_is_new_once(repository):
    found = finding(ORDERS[0])
    assert save(repository, found) == [found]
    assert save(repository, found) == []


def test_a_finding_that_was_closed_is_new_again(repository):
    found = finding(ORDERS[0])
    save(repository, found)
    assert save(repository) == []
    assert save(repository, found) == [found]


def test_another_finding_about_the_same_order_is_new(repository):
    paid, sold = finding(ORDERS[0]), finding(ORDERS[0], Kind.STOCK_NOT_SOLD)
    save(repository, paid)
    assert save(repository, paid, sold) == [sold]


def test_findings_outside_of_the_batch_stay_open(repository):
    low, middle, high = (finding(order_id) for order_id in ORDERS[:3])
    stuck = finding("", Kind.OUTBOX_STUCK)
    save(repository, stuck, low, middle, high)
    assert save(repository, first=ORDERS[1], next_order_id=ORDERS[2]) == []
    assert save(repository, stuck, low, middle, high) == [middle]
    assert save(repository, low, next_order_id=ORDERS[1]) == []
    assert save(repository, stuck, low, middle, high) == [stuck]


def test_repairs_are_counted_by_kind(repository):
    assert repository.count_repairs() == {}
    repository.add_repairs({Kind.INDEX_MISSING: 2})
    repository.add_repairs({Kind.INDEX_MISSING: 1, Kind.HOLD_OVERDUE: 1})
    assert repository.count_repairs() == {Kind.INDEX_MISSING: 3, Kind.HOLD_OVERDUE: 1}


@pytest.mark.integration
def test_the_budget_of_an_hour_ends_with_it(client):
    clock = FakeClock()
    repository = MongoReconciliationRepository(client, clock=clock)
    repository.add_repairs({Kind.INDEX_MISSING: 2})
    clock.move(hours=1)
    assert repository.count_repairs() == {}
    repository.add_repairs({Kind.HOLD_OVERDUE: 1})
    assert repository.count_repairs() == {Kind.HOLD_OVERDUE: 1}


def test_findings_about_other_orders_than_those_named_stay_open(repository):
    stuck = finding("", Kind.OUTBOX_STUCK)
    first, second, third = (finding(order_id) for order_id in ORDERS[:3])
    save(repository, stuck, first, second, third)
    some = Scope(order_ids=["", ORDERS[0], ORDERS[2]])
    assert repository.save_open_findings([first], some) == []
    assert save(repository, stuck, first, second, third) == [stuck, third]


@pytest.mark.integration
def test_findings_of_the_release_before_stay_open(mongo, client):
    discrepancies = client.get_default_database().discrepancies
    discrepancies.insert_one({"_id": f"{ORDERS[0]}/ORDER_NOT_PAID", "found_at": NOW})
    store.migrate(client)
    assert save(mongo, finding(ORDERS[0])) == []
    assert save(mongo) == []
    assert discrepancies.count_documents({}) == 0


@pytest.mark.integration
class TestPublishedEvents:
    def test_new_findings_are_published_in_one_event(self, mongo, client):
        save(mongo, finding(ORDERS[0]), finding(ORDERS[1], failure="OUT_OF_STOCK"))
        save(mongo, finding(ORDERS[0]), finding(ORDERS[1]))
        with MongoOutbox(client).take(10) as [event]:
            message = events_pb2.DiscrepanciesFound.FromString(event.data)
        assert (event.source, event.subject) == ("/mamie-rosa/orders", "reconciliation")
        assert event.type == "mamie_rosa.events.v1.DiscrepanciesFound"
        assert message.total_count == 2
        assert [(each.kind, each.order_id, each.failure) for each in message.discrepancies] == [
            ("ORDER_NOT_PAID", ORDERS[0], ""),
            ("ORDER_NOT_PAID", ORDERS[1], "OUT_OF_STOCK"),
        ]
        assert message.discrepancies[0].facts == {"orderStatus": "CONFIRMED"}

    def test_events_are_published_in_the_order_of_their_findings(self, mongo, client):
        for order_id in reversed(ORDERS):
            save(mongo, finding(order_id), first=order_id)
        with MongoOutbox(client).take(10) as events:
            messages = [events_pb2.DiscrepanciesFound.FromString(event.data) for event in events]
        assert [message.discrepancies[0].order_id for message in messages] == ORDERS[::-1]

    def test_an_event_has_a_limited_number_of_discrepancies_and_the_total(self, mongo, client):
        save(mongo, *(finding(str(uuid.uuid4())) for _ in range(MAX_DISCREPANCIES_PER_EVENT + 1)))
        with MongoOutbox(client).take(1) as [event]:
            message = events_pb2.DiscrepanciesFound.FromString(event.data)
        assert (len(message.discrepancies), message.total_count) == (
            MAX_DISCREPANCIES_PER_EVENT,
            MAX_DISCREPANCIES_PER_EVENT + 1,
        )

    def test_unpublished_events_are_counted_by_age(self, mongo):
        save(mongo, finding(ORDERS[0]))
        assert mongo.count_unpublished(before=NOW) == 0
        assert mongo.count_unpublished(before=NOW + timedelta(milliseconds=1)) == 1


@pytest.mark.integration
class TestOwnRecords:
    def read(self, mongo, position, order_id="", size=2):
        return list(mongo.sources[position].read_from(order_id, size))

    def test_records_are_read_by_order_id_from_an_order_on(self, mongo, orders):
        placed = {order_id: place(orders, order_id) for order_id in reversed(ORDERS)}
        cancelled = orders.append(placed[ORDERS[1]], [events.OrderCancelled(reason="why")])
        expected = [placed[ORDERS[0]], cancelled, *(placed[each] for each in ORDERS[2:])]
        assert self.read(mongo, 0) == expected
        assert self.read(mongo, 0, ORDERS[1]) == expected[1:]
        assert self.read(mongo, 1, ORDERS[3]) == [
            IndexEntry(order_id=ORDERS[3]),
            IndexEntry(order_id=ORDERS[4]),
        ]
        (saga,) = self.read(mongo, 2, ORDERS[4])
        assert (saga.order_id, saga.due_at > NOW) == (ORDERS[4], True)
        for source in mongo.sources:
            named = source.read_of([ORDERS[3], ORDERS[1], "none"])
            assert sorted(each.order_id for each in named) == [ORDERS[1], ORDERS[3]]

    @pytest.mark.parametrize("lost", [1, 2])
    def test_a_history_with_a_gap_is_broken(self, mongo, orders, client, lost):
        placed = place(orders, ORDERS[0])
        paid = [events.PaymentStarted(), events.PaymentCaptured(payment_id="p")]
        orders.append(placed, paid)
        client.get_default_database().events.delete_one({"sequence": lost})
        assert self.read(mongo, 0) == [BrokenHistory(order_id=ORDERS[0])]

    def test_a_missing_index_entry_is_restored(self, mongo, orders, client):
        order = place(orders, ORDERS[0])
        client.get_default_database().orders.delete_many({})
        for _ in range(2):
            mongo.restore_index(OrderRecords(order_id=ORDERS[0], order=order))
        assert orders.list_by_user("alice", page=1, limit=10) == ([order], 1)

    @pytest.mark.parametrize("loss", ["entry", "time"])
    def test_a_saga_that_nothing_drives_is_due_again(self, mongo, orders, sagas, client, loss):
        order = place(orders, ORDERS[0])
        collection = client.get_default_database().sagas
        if loss == "entry":
            collection.delete_many({})
        else:
            collection.update_many({}, {"$set": {"due_at": None}})
        mongo.restore_saga(OrderRecords(order_id=ORDERS[0], order=order))
        assert sagas.claim_due() == ORDERS[0]

    def test_a_saga_with_a_lease_is_not_restored(self, mongo, orders, sagas):
        order = place(orders, ORDERS[0])
        mongo.restore_saga(OrderRecords(order_id=ORDERS[0], order=order))
        assert sagas.claim_due() is None
        assert sagas.payment_token(ORDERS[0]) == "t"

    def test_the_saga_of_a_confirmed_order_is_restored_as_complete(self, mongo, orders, client):
        placed = place(orders, ORDERS[0])
        confirmed = orders.append(placed, [events.OrderConfirmed()])
        client.get_default_database().sagas.delete_many({})
        mongo.restore_saga(OrderRecords(order_id=ORDERS[0], order=confirmed))
        assert self.read(mongo, 2) == [SagaEntry(order_id=ORDERS[0], due_at=None)]

    def test_a_lease_is_removed_unless_it_changed_meanwhile(self, mongo, orders, sagas):
        place(orders, ORDERS[0])
        (saga,) = self.read(mongo, 2)
        sagas.postpone(ORDERS[0], delay=HOUR, cause="moved")
        mongo.complete_saga(OrderRecords(order_id=ORDERS[0], saga=saga))
        (moved,) = self.read(mongo, 2)
        assert moved.due_at > saga.due_at
        mongo.complete_saga(OrderRecords(order_id=ORDERS[0], saga=moved))
        assert self.read(mongo, 2) == [SagaEntry(order_id=ORDERS[0], due_at=None)]
