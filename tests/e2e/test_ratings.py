"""Ratings of products by customers that bought them."""

import pytest

from tests.faults.faults import down
from tests.support.shop import CATEGORY, error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def product(shop):
    return shop.add_product()


def rate(customer, product, stars, **more):
    path = f"/api/products/{product['productId']}/ratings"
    return customer.post(path, {"stars": stars} | more)


def ratings_of(shop, product):
    """Return the ratings of a product, past every cache."""
    return shop.admin.get(f"/api/products/{product['productId']}").json()["ratings"]


def test_a_customer_rates_a_bought_product(shop, customer, product):
    assert ratings_of(shop, product) == {"average": 0, "count": 0}
    customer.buy((product, 1))
    answer = rate(customer, product, 4, comment="Crunchy!")
    assert answer.status_code == 201
    rating = answer.json()
    assert (rating["productId"], rating["stars"], rating["comment"]) == (
        product["productId"],
        4,
        "Crunchy!",
    )
    assert rating["createdAt"].endswith("Z")
    assert ratings_of(shop, product) == {"average": 4, "count": 1}


def test_a_product_and_the_list_show_the_average_of_all_ratings(shop, product):
    for stars in (5, 4, 4):
        buyer = shop.register()
        buyer.buy((product, 1))
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


def test_visitors_see_a_new_rating_when_the_cache_expires(shop, customer, product):
    path = f"/api/products/{product['productId']}"
    assert shop.visitor.get(path).json()["ratings"]["count"] == 0
    customer.buy((product, 1))
    rate(customer, product, 5)
    eventually(lambda: shop.visitor.get(path).json()["ratings"]["count"] == 1, seconds=5)


def test_a_second_rating_replaces_the_first(shop, customer, product):
    customer.buy((product, 1))
    for stars in (1, 5):
        assert rate(customer, product, stars).status_code == 201
    assert ratings_of(shop, product) == {"average": 5, "count": 1}


def test_only_buyers_may_rate_a_product(shop, customer, other_customer, product):
    other_customer.buy((product, 1))
    assert error_of(rate(customer, product, 5)) == (403, "NOT_BOUGHT")
    assert error_of(rate(shop.visitor, product, 5)) == (401, "NOT_SIGNED_IN")
    assert error_of(rate(customer, {"productId": "nothing"}, 5)) == (404, "PRODUCT_NOT_FOUND")
    assert ratings_of(shop, product) == {"average": 0, "count": 0}


def test_a_cancelled_purchase_cannot_be_rated(customer, product):
    customer.cancel(customer.buy((product, 1)))
    assert error_of(rate(customer, product, 1)) == (403, "NOT_BOUGHT")


@pytest.mark.parametrize("body", [{}, {"stars": 0}, {"stars": 6}, {"comment": "x" * 2001}])
def test_an_invalid_rating_is_rejected(customer, product, body):
    path = f"/api/products/{product['productId']}/ratings"
    answer = customer.post(path, ({"stars": 5} | body) if body else {})
    assert error_of(answer) == (400, "INVALID_FIELDS")


@pytest.mark.faults
def test_ratings_are_unavailable_while_orders_are_down(shop, stack, customer, product):
    customer.buy((product, 1))
    with down(stack, "orders"):
        eventually(lambda: rate(customer, product, 5).status_code == 503, seconds=30)
        assert error_of(rate(customer, product, 5)) == (503, "SERVICE_UNAVAILABLE")
        assert ratings_of(shop, product) == {"average": 0, "count": 0}
    eventually(lambda: rate(customer, product, 5).status_code == 201, seconds=30)
