"""scripts/reconcile on the running shop, with and without discrepancies."""

import re
from contextlib import contextmanager
from datetime import timedelta

import pymongo
import pytest
import sqlalchemy as sa

from services.common.clock import utc_now
from services.orders.reconciliation.domain import GRACE_PERIOD
from services.payments.repository import payments
from tests.support.commands import run_script
from tests.support.stores import open_store
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

BEFORE_GRACE = GRACE_PERIOD + timedelta(minutes=1)
COMPARED = re.compile(
    r"^(?P<orders>\d+) orders compared: \d+ discrepancies, \d+ repaired, (?P<left>\d+) left$", re.M
)


@pytest.fixture
def orders(stack):
    """Yield the database of the orders."""
    client: pymongo.MongoClient = pymongo.MongoClient(stack.store_url("orders"))
    with client:
        yield client.get_default_database()


@pytest.fixture
def ledger(stack):
    """Yield an engine on the store of the payments."""
    with open_store(stack, "payments") as engine:
        yield engine


@pytest.fixture
def order_id(shop, orders, customer):
    """Return a confirmed order that is old enough to be compared."""
    order_id = customer.buy((shop.add_product(), 1))
    long_ago = {"$set": {"time": utc_now() - BEFORE_GRACE}}
    orders.events.update_many({"order_id": order_id}, long_ago)
    return order_id


def count_compared(stack):
    """Return how many orders were compared, if all services answered and no discrepancy is left.

    Parts that earlier tests stopped come up meanwhile, and their discrepancies are repaired.
    """
    status, shown = run_script(stack, "reconcile")
    summary = COMPARED.search(shown)
    assert summary is None or status == int(summary["left"] != "0"), shown
    return int(summary["orders"]) if summary and status == 0 else None


def test_consistent_orders_have_no_discrepancy(shop, stack, customer, order_id):
    before = eventually(lambda: count_compared(stack), seconds=90)
    customer.place((shop.add_product(), 1))
    assert eventually(lambda: count_compared(stack), seconds=90) == before + 1


@contextmanager
def different_amount(ledger, order_id):
    """Change the amount of an order's payment, and restore it."""
    one = sa.update(payments).where(payments.c.order_id == order_id)
    with ledger.begin() as connection:
        connection.execute(one.values(amount=payments.c.amount + 1))
    try:
        yield
    finally:
        with ledger.begin() as connection:
            connection.execute(one.values(amount=payments.c.amount - 1))


def test_a_discrepancy_that_cannot_be_repaired_is_left_with_status_one(stack, ledger, order_id):
    def found():
        status, shown = run_script(stack, "reconcile")
        return status == 1 and re.search(rf"PAYMENT_DIFFERS +{order_id} +left", shown)

    with different_amount(ledger, order_id):
        eventually(found)
    eventually(lambda: count_compared(stack), seconds=90)


def test_a_safe_discrepancy_is_repaired(stack, orders, customer, order_id):
    def repaired():
        """Delete an order from its customer's list; the background job may repair it first."""
        orders.orders.delete_one({"_id": order_id})
        _, shown = run_script(stack, "reconcile")
        return re.search(rf"INDEX_MISSING +{order_id} +repaired", shown)

    eventually(repaired, seconds=60)
    listed = customer.get("/api/orders").json()["orders"]
    assert [order["orderId"] for order in listed] == [order_id]
