"""Many clients at once: nothing is sold, counted or charged twice."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from services.common.storage.postgres import create_engine
from tests.support.shop import problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def at_once(times, call):
    """Return the answers of that many calls, made at the same time."""
    with ThreadPoolExecutor(times) as callers:
        return list(callers.map(lambda _: call(), range(times)))


def test_the_last_unit_is_sold_to_one_of_two_clients(shop, alice):
    product, bob = shop.add_product(stock=1), shop.register()
    with ThreadPoolExecutor(2) as buyers:
        answers = list(buyers.map(lambda person: person.order((product, 1)), (alice, bob)))
    assert sorted(answer.status_code for answer in answers) == [201, 422]
    (refused,) = [answer for answer in answers if answer.status_code == 422]
    assert problem(refused) == (422, "OUT_OF_STOCK")
    assert shop.stock_of(product) == 0


def test_one_idempotency_key_twenty_times_at_once_is_one_order_one_payment_one_answer(
    shop, stack, alice
):
    product, key = shop.add_product(stock=100), uuid.uuid4().hex
    answers = at_once(20, lambda: alice.order((product, 3), key=key))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    order_id = answers[0].json()["orderId"]
    alice.await_status(order_id, "CONFIRMED")
    assert alice.get("/api/orders").json()["total"] == 1
    assert shop.stock_of(product) == 97
    assert payments_of(stack, order_id) == [("CAPTURED", "30.00")]
    later = alice.order((product, 3), key=key)
    assert (later.status_code, later.text) == (201, answers[0].text)


def payments_of(stack, order_id):
    """Return (status, amount) of every payment that there is for an order."""
    engine = create_engine(stack.store_url("payments"), pool_size=1)
    with engine.connect() as connection:
        query = sa.text("SELECT status, amount::text FROM payments WHERE order_id = :order_id")
        found = [tuple(row) for row in connection.execute(query, {"order_id": order_id})]
    engine.dispose()
    return found


def test_an_idempotency_key_is_not_for_another_cart(shop, alice):
    product, key = shop.add_product(), uuid.uuid4().hex
    alice.place((product, 1), key=key)
    assert problem(alice.order((product, 2), key=key)) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert alice.get("/api/orders").json()["total"] == 1


def test_an_idempotency_key_belongs_to_its_client(shop, alice):
    product, key, bob = shop.add_product(), uuid.uuid4().hex, shop.register()
    assert alice.place((product, 1), key=key) != bob.place((product, 1), key=key)


def test_a_code_for_five_orders_is_redeemed_by_five(shop, alice):
    product, code = shop.add_product(stock=100), shop.add_promotion(maxUses=5)
    answers = at_once(10, lambda: alice.order((product, 1), promoCode=code))
    placed = [answer.json()["orderId"] for answer in answers if answer.status_code == 201]
    assert {problem(a) for a in answers if a.status_code != 201} <= {(422, "PROMO_INVALID")}
    ends = [at_rest(alice, order_id) for order_id in placed]
    assert (ends.count("CONFIRMED"), shop.uses_of(code)) == (5, 5)
    assert shop.stock_of(product) == 95


def at_rest(person, order_id):
    """Return the status in which an order has come to rest."""

    def rested():
        last = person.history(order_id)[-1]
        return last if last in ("OrderConfirmed", "StockReleased") else None

    eventually(rested)
    return person.see(order_id)["status"]


def test_one_email_registered_twice_at_once_is_one_account(shop):
    email = f"{uuid.uuid4().hex}@clients.example"
    account = {
        "email": email,
        "password": "a long enough password",
        "firstName": "A",
        "lastName": "B",
    }
    answers = at_once(2, lambda: shop.visitor.post("/api/users/register", account))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
