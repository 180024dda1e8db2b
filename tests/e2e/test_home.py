"""The start page: everything in one call, and what is left of it when a service is down."""

import time

import pytest

from tests.faults.faults import down
from tests.support.shop import problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PARTS = ["profile", "orders", "recommendations", "promotions"]
SERVICES = {
    "users": "profile",
    "orders": "orders",
    "recommendations": "recommendations",
    "promotions": "promotions",
}
PATIENCE_SECONDS = 1.5
"""What a page may take when a part is missing: that part's deadline, and some."""


@pytest.fixture
def home_of():
    """Return what reads somebody's start page."""

    def read(person):
        answer = person.get("/api/home")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return read


@pytest.fixture
def whole(home_of, alice):
    """Return what reads Alice's start page once nothing is missing, not even from before."""

    def read():
        page = home_of(alice)
        return page if page["degraded"] == [] else None

    return lambda: eventually(read, seconds=30)


def instances_of(stack, *services):
    """Return every instance of some services."""
    return [unit for service in services for unit in stack.instances(service)]


def test_a_page_shows_what_the_single_calls_show(shop, alice, whole):
    category = f"c{alice.user_id[:8]}"
    code = shop.add_promotion(discountPercentage=100, category=category)
    order_ids = [alice.place((shop.add_product(), 1)) for _ in range(6)]
    for order_id in order_ids:
        alice.await_status(order_id, "CONFIRMED")
    page = whole()
    assert set(page) == {*PARTS, "degraded"}
    assert page["profile"] == alice.get(f"/api/users/{alice.user_id}").json()
    assert page["orders"] == alice.get("/api/orders?limit=5").json()["orders"]
    assert [order["orderId"] for order in page["orders"]] == order_ids[:0:-1]
    promotion = {"code": code, "discountPercentage": 100, "category": category}
    assert promotion in page["promotions"]


def test_a_page_recommends_what_the_single_call_recommends(shop, alice, whole):
    order_id = alice.place((shop.add_product(), 1))
    alice.await_status(order_id, "CONFIRMED")
    path = f"/api/recommendations/{alice.user_id}?limit=5"
    # Both change while the graph learns of orders, this one and those of other tests.
    eventually(lambda: whole()["recommendations"] == alice.get(path).json()["recommendations"])


def test_a_new_client_has_a_page_without_orders(alice, whole):
    page = whole()
    assert (page["profile"]["userId"], page["orders"]) == (alice.user_id, [])
    assert len(page["recommendations"]) <= 5


def test_a_page_is_for_its_client_alone(shop, alice, home_of):
    order_id = alice.place((shop.add_product(), 1))
    for person in (shop.admin, shop.register()):
        page = home_of(person)
        assert page["profile"]["userId"] == person.user_id
        assert order_id not in [order["orderId"] for order in page["orders"]]


def test_nobody_has_no_page(shop, alice):
    assert problem(shop.visitor.get("/api/home")) == (401, "NOT_SIGNED_IN")
    forged = {"x_user_id": alice.user_id, "x_user_role": "admin"}
    assert problem(shop.visitor.call("GET", "/api/home", **forged)) == (401, "NOT_SIGNED_IN")


def test_a_page_takes_no_parameters(shop, alice):
    assert alice.get(f"/api/home?userId={shop.admin.user_id}").status_code == 400


def test_nobody_keeps_a_page(alice):
    answer = alice.get("/api/home")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.faults
@pytest.mark.parametrize("service", SERVICES)
def test_a_part_whose_service_is_down_is_null_and_the_others_are_there(
    stack, alice, home_of, whole, service
):
    missing = SERVICES[service]
    before = whole()
    with down(stack, *instances_of(stack, service)):
        began = time.monotonic()
        page = home_of(alice)
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert (page["degraded"], page[missing]) == ([missing], None)
        assert [name for name in PARTS if page[name] is None] == [missing]
        steady = [name for name in ("profile", "orders") if name != missing]
        assert [page[name] for name in steady] == [before[name] for name in steady]
    whole()


@pytest.mark.faults
def test_when_everything_is_down_there_is_still_a_page(stack, alice, home_of, whole):
    whole()
    with down(stack, *instances_of(stack, *SERVICES)):
        began = time.monotonic()
        page = home_of(alice)
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert page == dict.fromkeys(PARTS) | {"degraded": PARTS}
    whole()
