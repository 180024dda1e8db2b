"""Promotion codes over REST."""

import pytest

from tests.support.shop import error_of

pytestmark = pytest.mark.e2e


def test_a_valid_code_is_answered_with_its_discount(customer):
    cart = {"promoCode": "welcome10", "cartTotal": "25.80", "userId": customer.user_id}
    assert customer.post("/api/promotions/validate", cart).json() == {
        "isValid": True,
        "discountPercentage": 10,
        "discountAmount": "2.58",
        "finalTotal": "23.22",
    }


@pytest.mark.parametrize(
    ("code", "reason"),
    [("EXPIRED20", "CODE_EXPIRED"), ("SOLDOUT5", "CODE_EXHAUSTED"), ("NOSUCH", "CODE_UNKNOWN")],
)
def test_an_invalid_code_is_answered_with_the_reason(customer, code, reason):
    cart = {"promoCode": code, "cartTotal": "25.80"}
    answer = customer.post("/api/promotions/validate", cart)
    assert (answer.status_code, answer.json()) == (200, {"isValid": False, "reason": reason})


def test_a_promotion_is_read_with_its_usage_count(customer):
    promotion = customer.get("/api/promotions/SOLDOUT5").json()
    assert (promotion["discountPercentage"], promotion["usageCount"]) == (5, 1)
    assert error_of(customer.get("/api/promotions/NOSUCH")) == (404, "PROMOTION_NOT_FOUND")


def test_a_code_cannot_be_created_twice(shop):
    code = shop.add_promotion()
    again = {
        "code": code,
        "discountPercentage": 5,
        "validFrom": "2020-01-01T00:00:00Z",
        "validUntil": "2099-01-01T00:00:00Z",
    }
    assert error_of(shop.admin.post("/api/promotions", again)) == (409, "PROMOTION_EXISTS")


def test_a_code_with_a_minimum_total_rejects_smaller_carts(shop, customer):
    product, code = shop.add_product(price="10.00"), shop.add_promotion(minCartTotal="15.00")
    too_small = customer.order((product, 1), promoCode=code)
    assert too_small.json()["details"][0]["metadata"]["promoReason"] == "CART_TOO_SMALL"
    assert customer.order((product, 2), promoCode=code).json()["discount"] == "2.00"


def test_a_code_with_one_use_per_customer_is_redeemed_once(shop, customer):
    product, code = shop.add_product(), shop.add_promotion(maxUsesPerUser=1)
    customer.buy((product, 1), promoCode=code)
    again = customer.order((product, 1), promoCode=code)
    assert again.json()["details"][0]["metadata"]["promoReason"] == "CODE_ALREADY_USED"
