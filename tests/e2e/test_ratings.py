"""What buyers think of products, and who may say so."""

import pytest

from tests.faults.faults import down
from tests.support.shop import CATEGORY, problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def product(shop):
    return shop.add_product()


def buy(person, product):
    """Buy a product; return the order's id."""
    order_id = person.place((product, 1))
    person.await_status(order_id, "CONFIRMED")
    return order_id


def rate(person, product, stars, **more):
    path = f"/api/products/{product['productId']}/ratings"
    return person.post(path, {"stars": stars} | more)


def ratings_of(shop, product):
    """Return what a product's page says, past every cache."""
    return shop.admin.get(f"/api/products/{product['productId']}").json()["ratings"]


def test_a_buyer_rates_what_they_have_bought(shop, alice, product):
    assert ratings_of(shop, product) == {"average": 0, "count": 0}
    buy(alice, product)
    answer = rate(alice, product, 4, comment="Crunchy!")
    assert answer.status_code == 201
    rating = answer.json()
    assert (rating["productId"], rating["stars"], rating["comment"]) == (
        product["productId"],
        4,
        "Crunchy!",
    )
    assert rating["createdAt"].endswith("Z")
    assert ratings_of(shop, product) == {"average": 4, "count": 1}


def test_the_mean_of_all_buyers_is_shown_on_the_page_and_in_the_list(shop, product):
    for stars in (5, 4, 4):
        buyer = shop.register()
        buy(buyer, product)
        assert rate(buyer, product, stars).status_code == 201
    assert ratings_of(shop, product) == {"average": 4.33, "count": 3}
    pages = (
        f"/api/products?category={CATEGORY}&limit=100&page={number}" for number in range(1, 50)
    )
    listed = next(
        found
        for page in pages
        for found in shop.admin.get(page).json()["products"]
        if found["sku"] == product["sku"]
    )
    assert listed["ratings"] == {"average": 4.33, "count": 3}


def test_visitors_see_a_new_rating_within_the_time_of_the_cache(shop, alice, product):
    path = f"/api/products/{product['productId']}"
    assert shop.visitor.get(path).json()["ratings"]["count"] == 0
    buy(alice, product)
    rate(alice, product, 5)
    eventually(lambda: shop.visitor.get(path).json()["ratings"]["count"] == 1, seconds=5)


def test_a_second_rating_replaces_the_first(shop, alice, product):
    buy(alice, product)
    for stars in (1, 5):
        assert rate(alice, product, stars).status_code == 201
    assert ratings_of(shop, product) == {"average": 5, "count": 1}


def test_only_buyers_rate_a_product(shop, alice, product):
    buy(shop.register(), product)
    assert problem(rate(alice, product, 5)) == (403, "NOT_BOUGHT")
    assert problem(rate(shop.visitor, product, 5)) == (401, "NOT_SIGNED_IN")
    assert problem(rate(alice, {"productId": "nothing"}, 5)) == (404, "PRODUCT_NOT_FOUND")
    assert ratings_of(shop, product) == {"average": 0, "count": 0}


def test_what_was_given_back_is_not_rated(alice, product):
    order_id = buy(alice, product)
    alice.post(f"/api/orders/{order_id}/cancel", {"reason": "changed my mind"})
    assert problem(rate(alice, product, 1)) == (403, "NOT_BOUGHT")


@pytest.mark.parametrize("body", [{}, {"stars": 0}, {"stars": 6}, {"comment": "x" * 2001}])
def test_a_rating_that_breaks_the_rules_is_refused(alice, product, body):
    path = f"/api/products/{product['productId']}/ratings"
    answer = alice.post(path, ({"stars": 5} | body) if body else {})
    assert problem(answer) == (400, "INVALID_FIELDS")


@pytest.mark.faults
def test_nothing_is_rated_while_orders_are_away(shop, stack, alice, product):
    buy(alice, product)
    with down(stack, *stack.instances("orders")):
        eventually(lambda: rate(alice, product, 5).status_code == 503, seconds=30)
        assert problem(rate(alice, product, 5)) == (503, "SERVICE_UNAVAILABLE")
        assert ratings_of(shop, product) == {"average": 0, "count": 0}
    eventually(lambda: rate(alice, product, 5).status_code == 201, seconds=30)
