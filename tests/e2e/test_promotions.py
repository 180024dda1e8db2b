"""Promotion codes over REST."""

import pytest

from tests.support.shop import problem

pytestmark = pytest.mark.e2e


def test_a_valid_code_tells_what_it_takes_off(alice):
    cart = {"promoCode": "welcome10", "cartTotal": "25.80", "userId": alice.user_id}
    assert alice.post("/api/promotions/validate", cart).json() == {
        "isValid": True,
        "discountPercentage": 10,
        "discountAmount": "2.58",
        "finalTotal": "23.22",
    }


@pytest.mark.parametrize(
    ("code", "why"),
    [("EXPIRED20", "CODE_EXPIRED"), ("SOLDOUT5", "CODE_EXHAUSTED"), ("NOSUCH", "CODE_UNKNOWN")],
)
def test_a_code_that_does_not_apply_tells_why(alice, code, why):
    cart = {"promoCode": code, "cartTotal": "25.80"}
    answer = alice.post("/api/promotions/validate", cart)
    assert (answer.status_code, answer.json()) == (200, {"isValid": False, "reason": why})


def test_a_promotion_is_shown_with_its_uses(alice):
    promotion = alice.get("/api/promotions/SOLDOUT5").json()
    assert (promotion["discountPercentage"], promotion["usageCount"]) == (5, 1)
    assert problem(alice.get("/api/promotions/NOSUCH")) == (404, "PROMOTION_NOT_FOUND")


def test_a_code_is_made_once(shop):
    code = shop.add_promotion()
    again = {
        "code": code,
        "discountPercentage": 5,
        "validFrom": "2020-01-01T00:00:00Z",
        "validUntil": "2099-01-01T00:00:00Z",
    }
    assert problem(shop.admin.post("/api/promotions", again)) == (409, "PROMOTION_EXISTS")


def test_rules_of_a_code_are_kept(shop, alice):
    product, code = shop.add_product(price="10.00"), shop.add_promotion(minCartTotal="15.00")
    too_small = alice.order((product, 1), promoCode=code)
    assert too_small.json()["details"][0]["metadata"]["promoReason"] == "CART_TOO_SMALL"
    assert alice.order((product, 2), promoCode=code).json()["discount"] == "2.00"


def test_a_code_once_per_client_is_used_once(shop, alice):
    product, code = shop.add_product(), shop.add_promotion(maxUsesPerUser=1)
    alice.await_status(alice.place((product, 1), promoCode=code), "CONFIRMED")
    again = alice.order((product, 1), promoCode=code)
    assert again.json()["details"][0]["metadata"]["promoReason"] == "CODE_ALREADY_USED"
