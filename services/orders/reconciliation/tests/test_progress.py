"""Progress and changes in MongoDB, also in a shop with very many orders."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from pymongo.monitoring import CommandListener

from services.common.clock import new_id
from services.orders import codec, domain, events, store
from services.orders.events import RecordedEvent
from services.orders.reconciliation.domain import Kind
from services.orders.reconciliation.job import BATCH_SIZE, ReconciliationJob
from services.orders.reconciliation.progress import MongoProgress, Progress
from services.orders.reconciliation.reconciler import Reconciler, RepairActions
from services.orders.reconciliation.repository import MongoReconciliationRepository
from services.orders.repository import (
    MongoOrdersRepository,
    MongoSagaRepository,
)
from services.orders.tests.fakes import build_placed
from services.orders.tests.upstreams import FakeCatalog, FakePayments, FakePromotions

pytestmark = pytest.mark.integration

HOUR, OVER = timedelta(hours=1), timedelta(0)
NOW = datetime.now(UTC).replace(microsecond=0)
MANY = 100_000


class Commands(CommandListener):
    """Counts what is sent to the server, and the documents that it answers."""

    def __init__(self):
        self.count = self.documents = 0

    def started(self, event):
        self.count += 1

    def succeeded(self, event):
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))

    def failed(self, event):
        """Do nothing."""


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def client(mongodb_url, commands):
    client: pymongo.MongoClient = pymongo.MongoClient(
        mongodb_url, tz_aware=True, event_listeners=[commands]
    )
    with client:
        store.migrate(client)
        yield client


@pytest.fixture
def progress(client):
    return MongoProgress(client)


def test_progress_is_stored_as_it_was_saved(client, progress):
    assert progress.acquire_lock(OVER) == Progress()
    saved = Progress(
        following="o", round_began_at=NOW, round_seconds=1.5, compared=7, fresh="a", recent="b"
    )
    assert progress.save_progress(saved, OVER)
    assert MongoProgress(client).acquire_lock(HOUR) == saved
    assert progress.acquire_lock(HOUR) is None


def test_the_progress_of_the_release_before_is_read(client, progress):
    client.get_default_database().locks.insert_one({"_id": "reconciliation", "following": "o"})
    assert progress.acquire_lock(HOUR) == Progress(following="o")


def test_an_instance_that_lost_the_lock_saves_nothing(client, progress):
    frozen, other = MongoProgress(client), progress
    frozen.acquire_lock(OVER)
    other.acquire_lock(HOUR)
    assert not frozen.save_progress(Progress(following="o"), OVER)
    assert frozen.acquire_lock(HOUR) is None


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def test_changes_are_listed_by_the_time_of_the_stores_clock(client, progress):
    clock = Clock(NOW - HOUR)
    orders = MongoOrdersRepository(client, clock=clock)
    for minutes, order_id in enumerate(["c", "a", "b"]):
        clock.now = NOW - HOUR + timedelta(minutes=minutes)
        orders.place(order_id, build_placed(), payment_token="t")

    def listed(position="", *, since=NOW - 2 * HOUR, until=NOW, limit=10):
        changes = progress.list_changed(position, since=since, until=until, limit=limit)
        return changes.order_ids, changes.has_more

    assert listed() == (["a", "b", "c"], False)
    assert listed(limit=2) == (["a", "c"], True)
    assert listed(until=NOW - HOUR + timedelta(seconds=30)) == (["c"], False)
    assert listed(since=NOW - HOUR + timedelta(seconds=90)) == (["b"], False)
    first = progress.list_changed("", since=NOW - 2 * HOUR, until=NOW, limit=2)
    assert listed(first.position) == (["b"], False)


def test_a_position_at_the_end_finds_what_changes_later(client, progress):
    seen = progress.list_changed("", since=NOW - HOUR, until=NOW, limit=10)
    orders = MongoOrdersRepository(client, clock=Clock(NOW + timedelta(seconds=1)))
    orders.place("o", build_placed(), payment_token="t")
    later = progress.list_changed(seen.position, since=NOW - HOUR, until=NOW + HOUR, limit=10)
    assert later.order_ids == ["o"]


def fill(client, count):
    """Insert orders of a year, cancelled and compensated.

    Those that no run will compare have their first event alone.
    """
    database = client.get_default_database()
    happened = [
        build_placed(promo_code=""),
        events.OrderCancelled(reason="CUSTOMER"),
        events.PaymentSettled(refunded=domain.ZERO),
        events.StockReleased(),
    ]
    recorded = [RecordedEvent(sequence=n, time=NOW, event=e) for n, e in enumerate(happened, 1)]
    templates = [codec.to_document("", each) for each in recorded]
    for start in range(0, count, 10_000):
        documents: dict[str, list[Any]] = {"events": [], "orders": [], "sagas": []}
        for number in range(start, start + 10_000):
            moment = NOW - timedelta(days=2) - timedelta(days=363) * number / count
            order_id = new_id()
            for template in templates if order_id < "08" else templates[:1]:
                own = {"_id": store.build_id(moment), "order_id": order_id, "time": moment}
                documents["events"].append(template | own)
            documents["orders"].append({"_id": order_id, "user_id": "u", "created_at": moment})
            documents["sagas"].append(codec.saga_document(order_id, due_at=None))
        for name, rows in documents.items():
            database[name].insert_many(rows, ordered=False)


@pytest.mark.timeout(300)
def test_a_fresh_discrepancy_among_very_many_orders_is_found_in_one_short_run(
    client, commands, progress, say
):
    fill(client, MANY)
    minutes_ago = datetime.now(UTC) - timedelta(minutes=5)  # NOW may be long ago
    orders = MongoOrdersRepository(client, clock=Clock(minutes_ago))
    order_id = "ffffffff-ffff-4fff-bfff-ffffffffffff"  # the last one of a round
    order = orders.place(order_id, build_placed(promo_code=""), payment_token="t")
    orders.append(order, [events.PaymentStarted(), events.PaymentCaptured(payment_id="p")])
    client.get_default_database().sagas.delete_one({"_id": order_id})

    repository = MongoReconciliationRepository(client)
    catalog, promotions, payments = FakeCatalog(), FakePromotions(), FakePayments()
    repairs = RepairActions(
        catalog=catalog, promotions=promotions, payments=payments, repository=repository
    )
    reconciler = Reconciler(sources=repository.sources, repairs=repairs, repository=repository)
    job = ReconciliationJob(reconciler=reconciler, progress=progress, round_seconds=86_400)
    commands.count = commands.documents = 0
    begun = time.monotonic()
    job.run()
    seconds = time.monotonic() - begun
    say(f"{commands.count} commands, {commands.documents} documents, {seconds:.1f} s")
    assert reconciler.counts == {(Kind.SAGA_MISSING, True): 1}
    assert MongoSagaRepository(client).claim_due() == order_id
    assert f"{BATCH_SIZE} of {MANY + 1} orders compared" in job.status
    # A batch of the round reads ahead by one page of each source.
    assert commands.documents < 15 * BATCH_SIZE
    assert commands.count < 100
