"""Planted discrepancies are all found, each repaired or reported; clean data gives no alarm."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import utc_now
from services.orders.domain import OrderStatus
from services.orders.reconciliation.domain import Kind
from tests.integration.discrepancies import TWICE, WAYS, Planted, plant

pytestmark = pytest.mark.integration

A_WHILE = timedelta(minutes=2)
CLEAN, VICTIMS = 200, 60


def fill(shop, count):
    """Return settled orders: of four, two bought, one cancelled, one declined."""
    with ThreadPoolExecutor(8) as clients:
        placed = list(clients.map(lambda number: place(shop, number), range(count)))
        settled = shop.settled(placed)
        to_cancel = [order for n, order in enumerate(settled) if n % 4 > 2 and order.is_bought]
        cancelled = {order.order_id: order for order in clients.map(shop.cancel, to_cancel)}
    return [cancelled.get(order.order_id, order) for order in settled]


def place(shop, number):
    return shop.place(number // 4, token="tok_declined" if number % 4 == 2 else "tok_ok")


def seen(findings):
    return {
        Planted(found.discrepancy.order_id, found.discrepancy.kind, found.is_repaired)
        for found in findings
    }


def told(shop):
    """Return what the bus hears of discrepancies, and empty the outbox."""
    messages = [
        events_pb2.DiscrepanciesFound.FromString(event.data)
        for event in shop.publish()
        if event.subject == "reconciliation"
    ]
    return [(each.order_id, each.kind) for told in messages for each in told.discrepancies]


def plant_outbox(shop):
    """Leave an event that nobody publishes."""
    order = {"subject": "nobody", "sequence": 1, "time": utc_now() - A_WHILE}
    shop.database.outbox.insert_one(order)
    return Planted("", Kind.OUTBOX_STUCK, False)


def test_fifty_planted_discrepancies_are_found_and_each_is_repaired_or_reported(shop):
    orders = fill(shop, CLEAN + VICTIMS)
    shop.publish()
    shop.age(A_WHILE)
    assert shop.reconcile() == []
    refunded = [order for order in orders if order.is_bought or order.refunded]

    planted = set(plant(shop, [*WAYS, *TWICE], refunded))
    shop.age(A_WHILE)
    planted.add(plant_outbox(shop))
    assert len(planted) == 50
    assert {each.kind for each in planted} == set(Kind)

    findings = shop.reconcile()
    assert seen(findings) == planted
    assert len(findings) == 50
    assert [found for found in findings if found.is_repaired and found.failure] == []

    shop.database.outbox.delete_one({"subject": "nobody"})
    left = {each for each in planted if not each.is_repaired and each.order_id}
    assert sorted(told(shop)) == sorted([*((each.order_id, each.kind) for each in left), stuck()])

    settle_restored(shop, planted)
    shop.publish()
    shop.age(A_WHILE)
    assert seen(shop.reconcile()) == left
    assert told(shop) == []


def stuck():
    return ("", Kind.OUTBOX_STUCK)


def settle_restored(shop, planted):
    """Return when the orders that nobody carried on have come to rest."""
    abandoned = {Kind.SAGA_NOT_DUE: OrderStatus.CONFIRMED, Kind.SAGA_MISSING: OrderStatus.CANCELLED}
    for each in planted:
        if each.kind in abandoned:
            [order] = shop.settled([shop.orders.load(each.order_id)])
            assert order.status is abandoned[each.kind]


def test_comparing_while_orders_are_placed_and_cancelled_gives_no_alarm(shop):
    old = [order for order in fill(shop, 40) if order.is_bought]
    shop.publish()
    shop.age(A_WHILE)
    with ThreadPoolExecutor(4) as clients:
        moves = [clients.submit(shop.cancel, order) for order in old]
        moves += [clients.submit(place, shop, number) for number in range(20)]
        rounds = 0
        while not all(move.done() for move in moves) or not rounds:
            assert shop.reconcile() == []
            rounds += 1
        assert [move.exception() for move in moves] == [None] * len(moves)
    assert rounds > 1
