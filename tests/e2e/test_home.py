"""The home page: all parts in one call, and its remaining parts when a service is down."""

import time

import pytest

from tests.faults.faults import down
from tests.support.shop import error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PARTS = ["profile", "orders", "recommendations", "promotions"]
SERVICES = {
    "users": "profile",
    "orders": "orders",
    "recommendations": "recommendations",
    "promotions": "promotions",
}
MAX_SECONDS = 1.5
"""The longest that a page takes when a part is missing: that part's deadline and a margin."""


def home_of(customer):
    """Return a customer's home page."""
    answer = customer.get("/api/home")
    assert answer.status_code == 200, answer.text
    return answer.json()


def complete_home_of(customer):
    """Return a customer's home page once all its parts are there."""

    def read():
        page = home_of(customer)
        return page if page["degraded"] == [] else None

    return eventually(read, seconds=30)


def degraded_home_of(customer, missing):
    """Return a page without parts, once what pages share for a second is over; each is quick."""

    def read():
        began = time.monotonic()
        page = home_of(customer)
        assert time.monotonic() - began < MAX_SECONDS
        return page if page["degraded"] == missing else None

    return eventually(read, seconds=5)


def test_a_page_shows_the_same_as_single_calls(shop, customer):
    category = f"c{customer.user_id[:8]}"
    code = shop.add_promotion(discountPercentage=100, category=category)
    order_ids = [customer.buy((shop.add_product(), 1)) for _ in range(6)]
    page = complete_home_of(customer)
    assert set(page) == {*PARTS, "degraded"}
    assert page["profile"] == customer.get(f"/api/users/{customer.user_id}").json()
    assert page["orders"] == customer.get("/api/orders?limit=5").json()["orders"]
    assert [order["orderId"] for order in page["orders"]] == order_ids[:0:-1]
    promotion = {"code": code, "discountPercentage": 100, "category": category}
    eventually(lambda: promotion in home_of(customer)["promotions"])  # pages share them for 1 s


def test_a_page_recommends_the_same_as_the_single_call(shop, customer):
    customer.buy((shop.add_product(), 1))
    path = f"/api/recommendations/{customer.user_id}?limit=5"

    def are_equal():
        page = complete_home_of(customer)
        return page["recommendations"] == customer.get(path).json()["recommendations"]

    # Both change while the graph processes events of orders, also those of other tests.
    eventually(are_equal)


def test_the_page_of_a_new_customer_has_no_orders(customer):
    page = complete_home_of(customer)
    assert (page["profile"]["userId"], page["orders"]) == (customer.user_id, [])
    assert len(page["recommendations"]) <= 5


def test_a_page_shows_only_orders_of_its_own_customer(shop, customer, other_customer):
    order_id = customer.place((shop.add_product(), 1))
    for caller in (shop.admin, other_customer):
        page = home_of(caller)
        assert page["profile"]["userId"] == caller.user_id
        assert order_id not in [order["orderId"] for order in page["orders"]]


def test_a_visitor_has_no_page(shop, customer):
    assert error_of(shop.visitor.get("/api/home")) == (401, "NOT_SIGNED_IN")
    forged = {"x_user_id": customer.user_id, "x_user_role": "admin"}
    assert error_of(shop.visitor.call("GET", "/api/home", **forged)) == (401, "NOT_SIGNED_IN")


def test_a_page_takes_no_parameters(shop, customer):
    assert customer.get(f"/api/home?userId={shop.admin.user_id}").status_code == 400


def test_a_page_is_not_cached(customer):
    answer = customer.get("/api/home")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.faults
@pytest.mark.parametrize("service", SERVICES)
def test_only_the_part_of_an_unavailable_service_is_null(stack, customer, service):
    missing = SERVICES[service]
    before = complete_home_of(customer)
    with down(stack, service):
        page = degraded_home_of(customer, [missing])
        assert page[missing] is None
        assert [name for name in PARTS if page[name] is None] == [missing]
        steady = [name for name in ("profile", "orders") if name != missing]
        assert [page[name] for name in steady] == [before[name] for name in steady]
    complete_home_of(customer)


@pytest.mark.faults
def test_a_page_without_any_part_is_answered_when_all_services_are_down(stack, customer):
    complete_home_of(customer)
    with down(stack, *SERVICES):
        page = degraded_home_of(customer, PARTS)
        assert page == dict.fromkeys(PARTS) | {"degraded": PARTS}
    complete_home_of(customer)
