"""The attacks: each tries to get something twice, and returns what it got.

An attack is one round, on records of its own, and returns a sentence for each rule that the shop
broke; an empty list is a shop that holds.
"""

import uuid
from collections.abc import Callable, Sequence

from tests.races.single_packet import Answer, Request
from tests.races.target import Target, new_account

MANY = 8
Attack = Callable[[Target], Sequence[str]]


def _placed(answers: Sequence[Answer]) -> list[str]:
    return [str(each.json["orderId"]) for each in answers if each.status == 201]


def _statuses(answers: Sequence[Answer]) -> list[int]:
    return sorted(each.status for each in answers)


def sell_the_last_unit_twice(target: Target) -> Sequence[str]:
    """Order the last unit several times."""
    product = target.add_product(stock=1)
    orders = [target.order(product, by=number % 2) for number in range(MANY)]
    placed = _placed(target.at_once(*orders))
    ended = [target.await_rest(order_id) for order_id in placed]
    left = target.stock_of(product)
    is_right = (ended.count("CONFIRMED"), left) == (1, 0)
    return [] if is_right else [f"{len(placed)} sold of 1, {left} left"]


def _redeem(target: Target, code: str, buyers: Sequence[int]) -> Sequence[str]:
    """Order with a code that is for one use."""
    product = target.add_product(stock=100)
    orders = [target.order(product, by=each, promoCode=code) for each in buyers]
    ended = [target.await_rest(each) for each in _placed(target.at_once(*orders))]
    seen = (ended.count("CONFIRMED"), target.uses_of(code))
    return [] if seen == (1, 1) else [f"{seen[0]} discounts for 1 use, {seen[1]} counted"]


def redeem_the_last_use_twice(target: Target) -> Sequence[str]:
    """Use a code more often than it is for, by two customers."""
    return _redeem(target, target.add_promotion(maxUses=1), [n % 2 for n in range(MANY)])


def redeem_twice_as_one_customer(target: Target) -> Sequence[str]:
    """Use a code more often than one customer may."""
    return _redeem(target, target.add_promotion(maxUsesPerUser=1), [0] * MANY)


def capture_twice(target: Target) -> Sequence[str]:
    """Repeat one order with its key: it is placed, and paid, once."""
    product, key = target.add_product(stock=100), uuid.uuid4().hex
    before = target.count_orders()
    answers = target.at_once(*[target.order(product, key=key) for _ in range(MANY)])
    placed = _placed(answers)
    for order_id in set(placed):
        target.await_rest(order_id)
    seen = (len(set(placed)), target.count_orders() - before, 100 - target.stock_of(product))
    return [] if seen == (1, 1, 1) else [f"one key: (answers, orders, units) {seen}"]


def refund_twice(target: Target) -> Sequence[str]:
    """Cancel one order several times: money and stock come back once."""
    product = target.add_product(stock=10)
    order_id = target.buy(product)
    answers = target.at_once(*[target.cancel(order_id)] * MANY)
    target.await_rest(order_id)
    history = target.history(order_id)
    seen = (history.count("OrderCancelled"), history.count("PaymentSettled"))
    stock = target.stock_of(product)
    is_right = seen == (1, 1) and stock == 10 and set(_statuses(answers)) == {200}
    return [] if is_right else [f"(cancelled, refunded) {seen}, {stock} of 10 on sale"]


def cancel_while_capturing(target: Target) -> Sequence[str]:
    """Cancel an order while its money is captured: it ends in one state, which was answered."""
    product = target.add_product(stock=10)
    (placed,) = target.at_once(target.order(product))
    order_id = str(placed.json["orderId"])
    answers = target.at_once(*[target.cancel(order_id)] * 2)
    ended, stock = target.await_rest(order_id), target.stock_of(product)
    cancelled = 200 in _statuses(answers)
    expected = ("CANCELLED", 10) if cancelled else ("CONFIRMED", 9)
    return [] if (ended, stock) == expected else [f"answered {_statuses(answers)}, then {ended}"]


def reuse_a_key(target: Target) -> Sequence[str]:
    """Send two different orders with one key."""
    product, key = target.add_product(stock=100), uuid.uuid4().hex
    orders = [target.order(product, quantity=1 + n % 2, key=key) for n in range(MANY)]
    answers = target.at_once(*orders)
    placed = _placed(answers)
    units = {each.json["items"][0]["quantity"] for each in answers if each.status == 201}
    for order_id in set(placed):
        target.await_rest(order_id)
    sold = 100 - target.stock_of(product)
    is_right = len(set(placed)) == 1 and units == {sold}
    return [] if is_right else [f"{len(set(placed))} orders, {sold} units for {sorted(units)}"]


def sign_up_twice(target: Target) -> Sequence[str]:
    """Sign up several times with one email address."""
    account = new_account()
    answers = target.at_once(*[Request("POST", "/api/users/register", account)] * 4)
    created = _statuses(answers).count(201)
    return [] if created == 1 else [f"{created} accounts of one address"]


def rate_twice(target: Target) -> Sequence[str]:
    """Rate one product several times."""
    product = target.add_product(stock=10)
    target.buy(product)
    path = f"/api/products/{product}/ratings"
    rating = Request("POST", path, {"stars": 1}, target.customers[0])
    target.at_once(*[rating] * MANY)
    count = target.ratings_of(product)
    return [] if count == 1 else [f"{count} ratings of one customer"]


def ship_and_cancel(target: Target) -> Sequence[str]:
    """Ship an order and cancel it: one of both."""
    product = target.add_product(stock=10)
    order_id = target.buy(product)
    target.at_once(target.change_status(order_id, "PROCESSING"))
    shipped, cancelled = target.at_once(
        target.change_status(order_id, "SHIPPED"), target.cancel(order_id)
    )
    seen = (shipped.status == 200, cancelled.status == 200, target.await_rest(order_id))
    is_right = seen in ((True, False, "SHIPPED"), (False, True, "CANCELLED"))
    return [] if is_right else [f"(shipped, cancelled, ended) {seen}"]


def adjust_while_selling(target: Target) -> Sequence[str]:
    """Change the stock by hand while it is sold: no change is lost."""
    product = target.add_product(stock=6)
    path = f"/api/products/{product}/inventory"
    taken = Request("PATCH", path, {"quantity": -3, "reason": "race"}, target.admin)
    added = Request("PATCH", path, {"quantity": 2, "reason": "race"}, target.admin)
    answers = target.at_once(taken, added, *[target.order(product)] * MANY)
    changes = zip((-3, 2), answers, strict=False)
    adjusted = sum(quantity for quantity, answer in changes if answer.status == 200)
    sold = len(_placed(answers[2:]))
    left, expected = target.stock_of(product), 6 + adjusted - sold
    is_right = left == expected and left >= 0
    return [] if is_right else [f"6 {adjusted:+} - {sold} is {expected}, and {left} are left"]


ATTACKS: Sequence[Attack] = (
    sell_the_last_unit_twice,
    redeem_the_last_use_twice,
    redeem_twice_as_one_customer,
    capture_twice,
    refund_twice,
    cancel_while_capturing,
    reuse_a_key,
    sign_up_twice,
    rate_twice,
    ship_and_cancel,
    adjust_while_selling,
)
