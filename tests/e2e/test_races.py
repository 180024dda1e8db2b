"""Concurrent requests: nothing is sold, redeemed or charged twice."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.concurrency import call_at_once
from tests.support.shop import error_of
from tests.support.stores import payments_of

pytestmark = pytest.mark.e2e


def test_the_last_unit_is_sold_to_one_of_two_customers(shop, customer, other_customer):
    product, buyers = shop.add_product(stock=1), (customer, other_customer)
    with ThreadPoolExecutor(2) as callers:
        answers = list(callers.map(lambda buyer: buyer.order((product, 1)), buyers))
    assert sorted(answer.status_code for answer in answers) == [201, 422]
    (rejected,) = [answer for answer in answers if answer.status_code == 422]
    assert error_of(rejected) == (422, "OUT_OF_STOCK")
    assert shop.stock_of(product) == 0


def test_one_idempotency_key_twenty_times_at_once_is_one_order_one_payment_one_answer(
    shop, stack, customer
):
    product, key = shop.add_product(stock=100), uuid.uuid4().hex
    answers = call_at_once(20, lambda: customer.order((product, 3), key=key))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    order_id = answers[0].json()["orderId"]
    customer.await_status(order_id, "CONFIRMED")
    assert customer.get("/api/orders").json()["total"] == 1
    assert shop.stock_of(product) == 97
    assert payments_of(stack, order_id) == [("CAPTURED", "30.00")]
    later = customer.order((product, 3), key=key)
    assert (later.status_code, later.text) == (201, answers[0].text)


def test_an_idempotency_key_cannot_be_reused_for_another_cart(shop, customer):
    product, key = shop.add_product(), uuid.uuid4().hex
    customer.place((product, 1), key=key)
    assert error_of(customer.order((product, 2), key=key)) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert customer.get("/api/orders").json()["total"] == 1


def test_customers_may_use_the_same_idempotency_key(shop, customer, other_customer):
    product, key = shop.add_product(), uuid.uuid4().hex
    assert customer.place((product, 1), key=key) != other_customer.place((product, 1), key=key)


def test_a_code_with_five_uses_is_redeemed_by_five_orders(shop, customer):
    product, code = shop.add_product(stock=100), shop.add_promotion(maxUses=5)
    answers = call_at_once(10, lambda: customer.order((product, 1), promoCode=code))
    placed = [answer.json()["orderId"] for answer in answers if answer.status_code == 201]
    assert {error_of(a) for a in answers if a.status_code != 201} <= {(422, "PROMO_INVALID")}
    statuses = [customer.await_saga_end(order_id) for order_id in placed]
    assert (statuses.count("CONFIRMED"), shop.uses_of(code)) == (5, 5)
    assert shop.stock_of(product) == 95


def test_one_email_registered_twice_at_once_is_one_account(shop):
    email = f"{uuid.uuid4().hex}@customers.example"
    account = {
        "email": email,
        "password": "a long enough password",
        "firstName": "A",
        "lastName": "B",
    }
    answers = call_at_once(2, lambda: shop.visitor.post("/api/users/register", account))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
