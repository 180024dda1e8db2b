"""What administrators see of all orders, and that nobody else does."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from mamie_rosa.orders.v1 import orders_pb2, shop_orders_pb2

from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, InMemoryServer
from services.common.rpc.timestamps import to_timestamp
from services.orders.domain import fold
from services.orders.events import RecordedEvent
from services.orders.overview.domain import Day, Filter, OpenDiscrepancy, day_start
from services.orders.overview.servicer import ShopOrdersServicer
from services.orders.overview.tests.fakes import InMemoryShopOrdersRepository
from services.orders.tests.fakes import NOW, build_placed

SERVICE = shop_orders_pb2.DESCRIPTOR.services_by_name["ShopOrdersService"]
ORDER_ID = "5e6d7c8b-9a0f-4e1d-8c2b-3a4f5e6d7c03"
ORDER = fold(ORDER_ID, [RecordedEvent(sequence=1, time=NOW, event=build_placed())])
DAY = Day(since=NOW, placed_count=3, sold_count=2, revenue=Decimal("46.4"), to_ship_count=1)
FOUND = OpenDiscrepancy(kind="ORDER_NOT_PAID", order_id=ORDER_ID, found_at=NOW)


@pytest.fixture
def repository():
    return InMemoryShopOrdersRepository(ORDER, day=DAY, discrepancies=[FOUND])


@pytest.fixture
def orders(repository):
    return InMemoryServer(SERVICE, ShopOrdersServicer(orders=repository, clock=lambda: NOW))


def test_the_numbers_of_the_day_begin_with_the_owners_midnight(orders):
    request = shop_orders_pb2.GetDayRequest(utc_offset_minutes=120)
    day = orders.call("GetDay", request, ADMIN).response
    assert day.since == to_timestamp(day_start(NOW, timedelta(hours=2)))
    assert (day.placed_count, day.sold_count, day.revenue) == (3, 2, "46.40")
    assert (day.to_ship_count, day.stuck_count, day.currency) == (1, 0, "EUR")


@pytest.mark.parametrize(
    ("hour", "offset_hours", "began"),
    [(12, 0, (24, 0)), (23, 2, (24, 22)), (1, -5, (23, 5)), (0, 0, (24, 0))],
)
def test_a_day_begins_at_midnight_where_the_owner_is(hour, offset_hours, began):
    now = datetime(2026, 11, 24, hour, 30, tzinfo=UTC)
    day, hour = began
    expected = datetime(2026, 11, day, hour, tzinfo=UTC)
    assert day_start(now, timedelta(hours=offset_hours)) == expected


def test_orders_are_listed_by_what_they_wait_for(orders, repository):
    request = shop_orders_pb2.ListShopOrdersRequest(filter=shop_orders_pb2.TO_SHIP, page=2, limit=5)
    answer = orders.call("ListShopOrders", request, ADMIN).response
    assert repository.asked == [(Filter.TO_SHIP, 2, 5)]
    assert [(each.order_id, each.status) for each in answer.orders] == [
        (ORDER_ID, orders_pb2.PENDING)
    ]
    assert (answer.total, answer.page) == (1, 2)


def test_an_order_is_found_by_the_beginning_of_its_number(orders):
    def find(number):
        request = shop_orders_pb2.ListShopOrdersRequest(number=number)
        return orders.call("ListShopOrders", request, ADMIN)

    assert find("5E6D7C8B").response.orders[0].order_id == ORDER_ID
    assert find("5e6d7c8c").response.total == 0
    assert find("5e6d7").reason == "INVALID_FIELDS"
    assert find("5e6d7c8b$").reason == "INVALID_FIELDS"


def test_open_discrepancies_are_listed(orders):
    request = shop_orders_pb2.ListDiscrepanciesRequest()
    answer = orders.call("ListDiscrepancies", request, ADMIN).response
    assert [(each.kind, each.order_id) for each in answer.discrepancies] == [
        ("ORDER_NOT_PAID", ORDER_ID)
    ]
    assert answer.total == 1


@pytest.mark.parametrize(
    ("caller", "reason"), [(ALICE, "ADMIN_ONLY"), (ANONYMOUS, "NOT_SIGNED_IN")]
)
@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetDay", shop_orders_pb2.GetDayRequest()),
        ("ListShopOrders", shop_orders_pb2.ListShopOrdersRequest()),
        ("ListDiscrepancies", shop_orders_pb2.ListDiscrepanciesRequest()),
    ],
)
def test_nobody_else_sees_the_orders_of_all(orders, method, request_, caller, reason):
    assert orders.call(method, request_, caller).reason == reason
