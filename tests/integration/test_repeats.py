"""Requests that are repeated at once with their key, when exactly enough is left for all keys."""

import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from services.common.clock import utc_now
from services.common.errors import UnprocessableError
from services.orders.errors import RequestInProgressError
from services.orders.placing.checkout import Cart
from services.orders.states import OrderStatus
from tests.integration.order_shop import ADDRESS, ALICE, PRODUCTS, OrderShop, build_promotion

pytestmark = pytest.mark.integration

KEYS, REPEATS, UNITS = 6, 20, 3


def place_until_answered(shop: OrderShop, cart: Cart, key: str) -> str:
    """Place an order, again while its request is in progress; return its id or a reason."""
    while True:
        try:
            return shop.checkout.place(ALICE, cart, key).order_id
        except RequestInProgressError:
            continue
        except UnprocessableError as error:
            return error.reason


def answers_by_key(shop: OrderShop, cart: Cart) -> dict[str, set[str]]:
    """Return all answers for each of some keys, whose requests are repeated at once."""
    keys = [uuid.uuid4().hex for _ in range(KEYS)]
    answers: defaultdict[str, set[str]] = defaultdict(set)
    with ThreadPoolExecutor(REPEATS) as callers:
        calls = [
            (key, callers.submit(place_until_answered, shop, cart, key))
            for key in keys
            for _ in range(REPEATS)
        ]
        for key, call in calls:
            answers[key].add(call.result())
    return answers


def test_repeats_at_once_get_one_answer_when_exactly_enough_is_on_sale(shop):
    cart = Cart(
        lines=[(PRODUCTS[0], UNITS)], promo_code="", address=ADDRESS, payment_token="tok_ok"
    )
    shop.products.adjust(PRODUCTS[0], KEYS * UNITS - 10_000, reason="test", by=ALICE)
    answers = answers_by_key(shop, cart)
    assert [len(each) for each in answers.values()] == [1] * KEYS
    placed = [shop.orders.load(order_id) for each in answers.values() for order_id in each]
    ended = shop.await_complete(placed)
    assert {order.status for order in ended} == {OrderStatus.CONFIRMED}
    assert shop.products.find(PRODUCTS[0]).stock == 0


@pytest.mark.parametrize("rules", [{"max_uses": 1}, {"max_uses_per_user": 1}])
def test_repeats_at_once_get_one_answer_when_a_code_is_for_one_use(shop, rules):
    shop.promotions.add(replace(build_promotion("ONCE", utc_now()), **rules), publish=False)
    cart = Cart(
        lines=[(PRODUCTS[0], 1)], promo_code="ONCE", address=ADDRESS, payment_token="tok_ok"
    )
    answers = answers_by_key(shop, cart)
    assert [len(each) for each in answers.values()] == [1] * KEYS
    placed = {answer for each in answers.values() for answer in each} - {"PROMO_INVALID"}
    ended = shop.await_complete([shop.orders.load(order_id) for order_id in placed])
    assert sum(order.status is OrderStatus.CONFIRMED for order in ended) == 1
