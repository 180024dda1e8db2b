"""The promises of a reconciliation repository, kept by the fake and by the real store."""

import uuid
from datetime import timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.errors import StoreUnavailableError
from services.orders import domain, store
from services.orders.outbox import MongoOutbox
from services.orders.reconciliation.domain import Discrepancy, Finding, Kind
from services.orders.reconciliation.records import BrokenHistory, IndexEntry, Records, SagaEntry
from services.orders.reconciliation.repository import MOST_TOLD, MongoReconciliationRepository
from services.orders.reconciliation.tests.reconciling import InMemoryReconciliationRepository
from services.orders.repository import MongoOrdersRepository
from services.orders.tests.fakes import NOW, build_placed

LATER = NOW + timedelta(minutes=1)
ORDERS = [f"{digit}1111111-1111-4111-8111-111111111111" for digit in "039af"]


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture
def kept(client):
    return MongoReconciliationRepository(client, clock=lambda: NOW)


@pytest.fixture
def orders(client):
    return MongoOrdersRepository(client, clock=lambda: NOW)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.integration)])
def repository(request):
    real = request.param == "mongodb"
    return request.getfixturevalue("kept") if real else InMemoryReconciliationRepository()


def finding(order_id, kind=Kind.ORDER_NOT_PAID, failure=""):
    facts = {"orderStatus": "CONFIRMED"}
    discrepancy = Discrepancy(kind=kind, order_id=order_id, facts=facts)
    return Finding(discrepancy=discrepancy, failure=failure)


def place(orders, order_id):
    return orders.place(order_id, build_placed(), payment_token="t", due_at=LATER)


def remember(repository, *findings, first="", following=""):
    return repository.remember(findings, first=first, following=following)


def test_a_finding_is_new_once(repository):
    found = finding(ORDERS[0])
    assert remember(repository, found) == [found]
    assert remember(repository, found) == []


def test_a_finding_that_was_gone_is_new_again(repository):
    found = finding(ORDERS[0])
    remember(repository, found)
    assert remember(repository) == []
    assert remember(repository, found) == [found]


def test_another_finding_about_the_same_order_is_new(repository):
    paid, sold = finding(ORDERS[0]), finding(ORDERS[0], Kind.STOCK_NOT_SOLD)
    remember(repository, paid)
    assert remember(repository, paid, sold) == [sold]


def test_findings_about_other_orders_than_those_compared_stay_known(repository):
    low, middle, high = (finding(order_id) for order_id in ORDERS[:3])
    stuck = finding("", Kind.OUTBOX_STUCK)
    remember(repository, stuck, low, middle, high)
    assert remember(repository, first=ORDERS[1], following=ORDERS[2]) == []
    assert remember(repository, stuck, low, middle, high) == [middle]
    assert remember(repository, low, following=ORDERS[1]) == []
    assert remember(repository, stuck, low, middle, high) == [stuck]


def test_one_instance_at_a_time_has_the_turn(repository):
    assert repository.take_turn(now=NOW, until=LATER) == ""
    assert repository.take_turn(now=NOW, until=LATER) is None
    assert repository.take_turn(now=LATER, until=LATER + timedelta(minutes=1)) == ""


def test_the_next_turn_goes_on_where_the_last_one_ended(repository):
    repository.take_turn(now=NOW, until=LATER)
    repository.go_on(ORDERS[2], until=LATER + timedelta(seconds=1))
    assert repository.take_turn(now=LATER, until=LATER) is None
    much_later = LATER + timedelta(minutes=1)
    assert repository.take_turn(now=much_later, until=much_later) == ORDERS[2]


@pytest.mark.integration
class TestWhatIsTold:
    def test_the_bus_hears_of_what_is_new_in_one_event(self, kept, client):
        remember(kept, finding(ORDERS[0]), finding(ORDERS[1], failure="OUT_OF_STOCK"))
        remember(kept, finding(ORDERS[0]), finding(ORDERS[1]))
        with MongoOutbox(client, clock=lambda: NOW).take(10) as [event]:
            told = events_pb2.DiscrepanciesFound.FromString(event.data)
        assert (event.source, event.subject) == ("/mamie-rosa/orders", "reconciliation")
        assert event.type == "mamie_rosa.events.v1.DiscrepanciesFound"
        assert told.total_count == 2
        assert [(each.kind, each.order_id, each.failure) for each in told.discrepancies] == [
            ("ORDER_NOT_PAID", ORDERS[0], ""),
            ("ORDER_NOT_PAID", ORDERS[1], "OUT_OF_STOCK"),
        ]
        assert told.discrepancies[0].facts == {"orderStatus": "CONFIRMED"}

    def test_events_are_told_in_the_order_in_which_things_were_found(self, kept, client):
        for order_id in reversed(ORDERS):
            remember(kept, finding(order_id), first=order_id)
        with MongoOutbox(client, clock=lambda: NOW).take(10) as events:
            told = [events_pb2.DiscrepanciesFound.FromString(event.data) for event in events]
        assert [message.discrepancies[0].order_id for message in told] == ORDERS[::-1]

    def test_an_event_has_room_for_some_and_tells_how_many_there_are(self, kept, client):
        remember(kept, *(finding(str(uuid.uuid4())) for _ in range(MOST_TOLD + 1)))
        with MongoOutbox(client, clock=lambda: NOW).take(1) as [event]:
            told = events_pb2.DiscrepanciesFound.FromString(event.data)
        assert (len(told.discrepancies), told.total_count) == (MOST_TOLD, MOST_TOLD + 1)

    def test_events_that_wait_for_long_are_counted(self, kept):
        remember(kept, finding(ORDERS[0]))
        assert kept.waiting_since(NOW) == 0
        assert kept.waiting_since(NOW + timedelta(milliseconds=1)) == 1


@pytest.mark.integration
class TestTheOrdersOwnStore:
    def read(self, kept, position, order_id="", size=2):
        return list(kept.sources[position](order_id, size))

    def test_orders_are_read_by_their_id_from_an_order_on(self, kept, orders):
        placed = {order_id: place(orders, order_id) for order_id in reversed(ORDERS)}
        cancelled = orders.append(
            placed[ORDERS[1]], [domain.OrderCancelled(reason="why")], due_at=LATER
        )
        expected = [placed[ORDERS[0]], cancelled, *(placed[each] for each in ORDERS[2:])]
        assert self.read(kept, 0) == expected
        assert self.read(kept, 0, ORDERS[1]) == expected[1:]
        assert self.read(kept, 1, ORDERS[3]) == [
            IndexEntry(order_id=ORDERS[3]),
            IndexEntry(order_id=ORDERS[4]),
        ]
        assert self.read(kept, 2, ORDERS[4]) == [SagaEntry(order_id=ORDERS[4], due_at=LATER)]

    @pytest.mark.parametrize("lost", [1, 2])
    def test_a_history_with_a_gap_is_broken(self, kept, orders, client, lost):
        placed = place(orders, ORDERS[0])
        events = [domain.PaymentStarted(), domain.PaymentCaptured(payment_id="p")]
        orders.append(placed, events, due_at=LATER)
        client.get_default_database().events.delete_one({"sequence": lost})
        assert self.read(kept, 0) == [BrokenHistory(order_id=ORDERS[0])]

    def test_a_lost_index_entry_is_put_back(self, kept, orders, client):
        order = place(orders, ORDERS[0])
        client.get_default_database().orders.delete_many({})
        for _ in range(2):
            kept.restore_index(Records(order_id=ORDERS[0], order=order))
        assert orders.list_of("alice", page=1, limit=10) == ([order], 1)

    @pytest.mark.parametrize("loss", ["entry", "time"])
    def test_an_order_that_nobody_carries_on_is_due_again(self, kept, orders, client, loss):
        order = place(orders, ORDERS[0])
        sagas = client.get_default_database().sagas
        if loss == "entry":
            sagas.delete_many({})
        else:
            sagas.update_many({}, {"$set": {"due_at": None}})
        kept.restore_saga(Records(order_id=ORDERS[0], order=order))
        assert orders.claim_due(now=NOW, due_at=LATER) == ORDERS[0]

    def test_an_order_that_somebody_carries_on_meanwhile_is_left_to_them(self, kept, orders):
        order = place(orders, ORDERS[0])
        kept.restore_saga(Records(order_id=ORDERS[0], order=order))
        assert orders.claim_due(now=NOW, due_at=LATER) is None
        assert orders.payment_token(ORDERS[0]) == "t"

    def test_the_lost_saga_of_an_order_at_rest_is_not_due(self, kept, orders, client):
        placed = place(orders, ORDERS[0])
        bought = orders.append(placed, [domain.OrderConfirmed()], due_at=LATER)
        client.get_default_database().sagas.delete_many({})
        kept.restore_saga(Records(order_id=ORDERS[0], order=bought))
        assert self.read(kept, 2) == [SagaEntry(order_id=ORDERS[0], due_at=None)]

    def test_an_order_at_rest_is_set_to_rest_unless_it_moved_meanwhile(self, kept, orders):
        place(orders, ORDERS[0])
        seen = Records(order_id=ORDERS[0], saga=SagaEntry(order_id=ORDERS[0], due_at=LATER))
        orders.postpone(ORDERS[0], due_at=NOW, why="moved")
        kept.rest_saga(seen)
        assert self.read(kept, 2) == [SagaEntry(order_id=ORDERS[0], due_at=NOW)]
        orders.postpone(ORDERS[0], due_at=LATER, why="moved back")
        kept.rest_saga(seen)
        assert self.read(kept, 2) == [SagaEntry(order_id=ORDERS[0], due_at=None)]


@pytest.mark.integration
def test_a_store_that_is_away_is_said_so():
    with store.connect("mongodb://127.0.0.1:1/none") as client:
        away = MongoReconciliationRepository(client)
        with pytest.raises(StoreUnavailableError):
            list(away.sources[0]("", 1))
