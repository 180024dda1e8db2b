"""All injected discrepancies are found, repaired or published; consistent data has none."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import utc_now
from services.orders.reconciliation.domain import Kind
from services.orders.states import OrderStatus
from tests.integration.discrepancies import REPEATED_SCENARIOS, SCENARIOS, Expected, inject_all

pytestmark = pytest.mark.integration

TWO_MINUTES = timedelta(minutes=2)
CONSISTENT, INCONSISTENT = 200, 60


def fill(shop, count):
    """Return complete orders: of four, two purchased, one cancelled, one declined."""
    with ThreadPoolExecutor(8) as customers:
        placed = list(customers.map(lambda number: place(shop, number), range(count)))
        complete = shop.await_complete(placed)
        to_cancel = [order for n, order in enumerate(complete) if n % 4 > 2 and order.is_purchased]
        cancelled = {order.order_id: order for order in customers.map(shop.cancel, to_cancel)}
    return [cancelled.get(order.order_id, order) for order in complete]


def place(shop, number):
    return shop.place(number // 4, token="tok_declined" if number % 4 == 2 else "tok_ok")


def summarize(findings):
    return {
        Expected(found.discrepancy.order_id, found.discrepancy.kind, found.is_repaired)
        for found in findings
    }


def published(shop):
    """Empty the outbox, and return the published discrepancies."""
    messages = [
        events_pb2.DiscrepanciesFound.FromString(event.data)
        for event in shop.publish()
        if event.subject == "reconciliation"
    ]
    return [(each.order_id, each.kind) for message in messages for each in message.discrepancies]


def inject_unpublished_event(shop):
    """Insert an event that no relay publishes."""
    event = {"subject": "no order", "sequence": 1, "time": utc_now() - TWO_MINUTES}
    shop.database.outbox.insert_one(event)
    return Expected("", Kind.OUTBOX_STUCK, False)


def test_fifty_injected_discrepancies_are_found_and_each_is_repaired_or_published(shop):
    orders = fill(shop, CONSISTENT + INCONSISTENT)
    shop.publish()
    shop.age(TWO_MINUTES)
    assert shop.reconcile() == []
    refunded = [order for order in orders if order.is_purchased or order.refunded]

    injected = set(inject_all(shop, [*SCENARIOS, *REPEATED_SCENARIOS], refunded))
    shop.age(TWO_MINUTES)
    injected.add(inject_unpublished_event(shop))
    assert len(injected) == 50
    assert {each.kind for each in injected} == set(Kind)

    findings = shop.reconcile()
    assert summarize(findings) == injected
    assert len(findings) == 50
    assert [found for found in findings if found.is_repaired and found.failure] == []

    shop.database.outbox.delete_one({"subject": "no order"})
    left = {each for each in injected if not each.is_repaired and each.order_id}
    assert sorted(published(shop)) == sorted(
        [*((each.order_id, each.kind) for each in left), stuck()]
    )

    await_restored(shop, injected)
    shop.publish()
    shop.age(TWO_MINUTES)
    assert summarize(shop.reconcile()) == left
    assert published(shop) == []


def stuck():
    return ("", Kind.OUTBOX_STUCK)


def await_restored(shop, injected):
    """Wait until the orders that were not driven are complete."""
    restored = {Kind.SAGA_NOT_DUE: OrderStatus.CONFIRMED, Kind.SAGA_MISSING: OrderStatus.CANCELLED}
    for each in injected:
        if each.kind in restored:
            [order] = shop.await_complete([shop.orders.load(each.order_id)])
            assert order.status is restored[each.kind]


def test_reconciling_while_orders_are_placed_and_cancelled_finds_nothing(shop):
    old = [order for order in fill(shop, 40) if order.is_purchased]
    shop.publish()
    shop.age(TWO_MINUTES)
    with ThreadPoolExecutor(4) as customers:
        changes = [customers.submit(shop.cancel, order) for order in old]
        changes += [customers.submit(place, shop, number) for number in range(20)]
        rounds = 0
        while not all(change.done() for change in changes) or not rounds:
            assert shop.reconcile() == []
            rounds += 1
        assert [change.exception() for change in changes] == [None] * len(changes)
    assert rounds > 1
