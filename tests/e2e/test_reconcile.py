"""scripts/reconcile on the running shop: says when all agree, and finds it when they do not."""

import re
import subprocess
from contextlib import contextmanager
from datetime import timedelta

import pymongo
import pytest
import sqlalchemy as sa

from scripts.paths import ROOT
from services.common.clock import utc_now
from services.common.storage import postgres
from services.orders.reconciliation.domain import GRACE_PERIOD
from services.payments.repository import payments
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

LONG_AGO = GRACE_PERIOD + timedelta(minutes=1)
COMPARED = re.compile(
    r"^(?P<orders>\d+) orders compared: \d+ discrepancies, \d+ repaired, (?P<left>\d+) left$", re.M
)


@pytest.fixture
def orders(stack):
    """The database of the orders."""
    client: pymongo.MongoClient = pymongo.MongoClient(stack.store_url("orders"))
    with client:
        yield client.get_default_database()


@pytest.fixture
def ledger(stack):
    """An engine on the database of the payments."""
    engine = postgres.create_engine(stack.store_url("payments"), pool_size=1)
    yield engine
    engine.dispose()


@pytest.fixture
def order_id(shop, orders, alice):
    """An order that came to rest so long ago that it is judged."""
    order_id = alice.place((shop.add_product(), 1))
    alice.await_status(order_id, "CONFIRMED")
    long_ago = {"$set": {"time": utc_now() - LONG_AGO}}
    orders.events.update_many({"order_id": order_id}, long_ago)
    return order_id


def reconcile(stack):
    """Run the command; return its exit status and what it says."""
    command = [ROOT / "scripts" / "reconcile", "--data", stack.data]
    ended = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    assert not ended.stderr
    return ended.returncode, ended.stdout


def agreed(stack):
    """Return how many orders were compared, if all services answered and nothing is left.

    What tests before this one took away is back soon, and what they let differ is mended.
    """
    status, shown = reconcile(stack)
    said = COMPARED.search(shown)
    assert said is None or status == int(said["left"] != "0"), shown
    return int(said["orders"]) if said and status == 0 else None


def test_all_services_agree_about_orders_that_came_to_rest(shop, stack, alice, order_id):
    before = eventually(lambda: agreed(stack), seconds=90)
    alice.place((shop.add_product(), 1))
    assert eventually(lambda: agreed(stack), seconds=90) == before + 1


@contextmanager
def other_amount(ledger, order_id):
    """Let the payment of an order be of another amount than the order."""
    one = sa.update(payments).where(payments.c.order_id == order_id)
    with ledger.begin() as connection:
        connection.execute(one.values(amount=payments.c.amount + 1))
    try:
        yield
    finally:
        with ledger.begin() as connection:
            connection.execute(one.values(amount=payments.c.amount - 1))


def test_what_only_a_person_can_mend_is_shown_and_told_by_the_exit_status(stack, ledger, order_id):
    def found():
        status, shown = reconcile(stack)
        return status == 1 and re.search(rf"PAYMENT_DIFFERS +{order_id} +left", shown)

    with other_amount(ledger, order_id):
        eventually(found)
    eventually(lambda: agreed(stack), seconds=90)


def test_what_is_safe_is_repaired(stack, orders, alice, order_id):
    def repaired():
        """Lose an order from its client's list; an instance whose turn it is may be quicker."""
        orders.orders.delete_one({"_id": order_id})
        shown = reconcile(stack)[1]
        return re.search(rf"INDEX_MISSING +{order_id} +repaired", shown)

    eventually(repaired, seconds=60)
    listed = alice.get("/api/orders").json()["orders"]
    assert [order["orderId"] for order in listed] == [order_id]
