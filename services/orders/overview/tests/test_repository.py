"""The orders of all customers in MongoDB: what is found, and by which indexes."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from services.orders import store
from services.orders.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderPreparationStarted,
    OrderShipped,
)
from services.orders.overview.domain import Filter
from services.orders.overview.repository import MongoShopOrdersRepository
from services.orders.repository import MongoOrdersRepository, MongoSagaRepository
from services.orders.tests.fakes import FakeClock, build_placed

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(mongodb_url):
    with store.connect(mongodb_url) as client:
        store.migrate(client)
        yield client


@pytest.fixture
def orders(client, clock):
    return MongoOrdersRepository(client, clock=clock)


@pytest.fixture
def shop(client, clock):
    return MongoShopOrdersRepository(client, clock=clock)


def place(orders, *events, lease=HOUR):
    order = orders.place(str(uuid.uuid4()), build_placed(), payment_token="tok_ok", lease=lease)
    for event in events:
        order = orders.append(order, [event])
    return order


def listed(shop, which, **page):
    found = shop.list_orders(which, **({"page": 1, "limit": 10} | page))
    return [order.order_id for order in found.orders], found.total


def test_an_order_waits_from_its_confirmation_until_it_is_shipped(orders, shop, clock):
    place(orders)
    first = place(orders, OrderConfirmed())
    clock.now += HOUR
    second = place(orders, OrderConfirmed(), OrderPreparationStarted())
    place(orders, OrderConfirmed(), OrderPreparationStarted(), OrderShipped(tracking_number="1"))
    place(orders, OrderConfirmed(), OrderCancelled(reason="why"))
    assert listed(shop, Filter.TO_SHIP) == ([first.order_id, second.order_id], 2)
    assert listed(shop, Filter.TO_SHIP, page=2, limit=1) == ([second.order_id], 2)


def test_a_day_counts_what_was_placed_and_what_was_sold(orders, shop, clock):
    place(orders, OrderConfirmed())
    clock.now += HOUR
    since = clock()
    sold = place(orders, OrderConfirmed(), OrderPreparationStarted())
    place(orders, OrderConfirmed(), OrderCancelled(reason="why"))
    place(orders)
    day = shop.count_day(since)
    assert (day.placed_count, day.sold_count, day.revenue) == (3, 1, sold.final_amount)
    assert (day.to_ship_count, day.stuck_count, day.discrepancy_count) == (2, 0, 0)
    assert shop.count_day(since + HOUR).revenue == Decimal(0)


def test_an_order_is_stuck_while_it_waits_for_an_upstream_or_nobody_works_on_it(
    orders, shop, client, clock
):
    waiting = place(orders)
    MongoSagaRepository(client).postpone(waiting.order_id, delay=2 * HOUR, cause="payments")
    client.get_default_database().sagas.update_one(
        {"_id": waiting.order_id}, {"$set": {"due_at": clock() + 2 * HOUR}}
    )
    abandoned = place(orders)
    client.get_default_database().sagas.update_one(
        {"_id": abandoned.order_id}, {"$set": {"due_at": clock() - HOUR}}
    )
    at_work = place(orders)
    client.get_default_database().sagas.update_one(
        {"_id": at_work.order_id}, {"$set": {"due_at": clock()}}
    )
    assert listed(shop, Filter.STUCK) == ([abandoned.order_id, waiting.order_id], 2)
    assert shop.count_day(clock()).stuck_count == 2


def test_the_newest_orders_are_first_and_any_is_found_by_its_number(orders, shop, clock):
    first = place(orders)
    clock.now += HOUR
    second = place(orders)
    assert listed(shop, Filter.RECENT) == ([second.order_id, first.order_id], 2)
    found = shop.find_by_number(first.order_id[:8], limit=10)
    assert [order.order_id for order in found.orders] == [first.order_id]
    assert shop.find_by_number("0" * 35 + "g", limit=10).orders == []


def test_discrepancies_are_listed_newest_first(shop, client, clock):
    documents = [
        {"_id": f"{number}/KIND", "order_id": number, "found_at": clock() + number_hours}
        for number, number_hours in (("a", HOUR), ("b", 2 * HOUR))
    ]
    client.get_default_database().discrepancies.insert_many(documents)
    found, total = shop.list_discrepancies(1)
    assert [(each.kind, each.order_id) for each in found] == [("KIND", "b")]
    assert total == 2


def test_orders_of_an_earlier_release_wait_to_be_shipped_too(orders, shop, client):
    waiting = place(orders, OrderConfirmed())
    place(orders, OrderConfirmed(), OrderPreparationStarted(), OrderShipped(tracking_number="1"))
    sagas = client.get_default_database().sagas
    sagas.update_many({}, {"$unset": {"to_ship_since": ""}})
    sagas.drop_index(store.WAITING)
    assert listed(shop, Filter.TO_SHIP) == ([], 0)
    store.migrate(client)
    assert listed(shop, Filter.TO_SHIP) == ([waiting.order_id], 1)


@pytest.mark.parametrize(
    ("collection", "query", "sort"),
    [
        ("sagas", {"to_ship_since": {"$gt": FakeClock()()}}, "to_ship_since"),
        ("sagas", {"sold_at": {"$gte": FakeClock()()}}, "sold_at"),
        ("orders", {"created_at": {"$gte": FakeClock()()}}, "created_at"),
    ],
)
def test_no_list_reads_a_whole_collection(client, collection, query, sort):
    found = client.get_default_database()[collection].find(query).sort(sort)
    plan = str(found.explain()["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan
    assert "'SORT'" not in plan
