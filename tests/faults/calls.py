"""The public calls of the shop, made again and again while something fails.

`watch` makes each of them in a thread of its own, so that one that waits delays no other, and
records how each was answered and how long that took.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import httpx

from tests.faults.workloads import Orders
from tests.support.shop import PASSWORD, Customer, Shop

PAUSE_SECONDS = 0.4
"""Between the answer to a call and the next one of the same name."""

Call = Callable[[], httpx.Response]


class Answer(NamedTuple):
    """How a call was answered.

    `began` is when it was made, on the monotonic clock; `outcome` is the HTTP status or a
    transport error.
    """

    call: str
    began: float
    seconds: float
    outcome: str

    @property
    def succeeded(self) -> bool:
        """Whether the status is 200 or 201."""
        return self.outcome in ("200", "201")


def public_calls(shop: Shop, customer: Customer, orders: Orders) -> Mapping[str, Call]:
    """Return a call of each kind that the shop serves, by its name.

    `order` places an order of `orders` each time, without a key and without a code.
    """
    login = {"email": customer.email, "password": PASSWORD}
    cart = {"promoCode": "WELCOME10", "cartTotal": "50.00", "userId": customer.user_id}
    return {
        "sign_in": partial(shop.visitor.post, "/api/users/login", login),
        "profile": partial(customer.get, f"/api/users/{customer.user_id}"),
        # An administrator's reads are answered by no cache.
        "product": partial(shop.admin.get, "/api/products/prod_001"),
        "order": partial(orders.attempt, customer),
        "orders": partial(customer.get, "/api/orders"),
        "validate": partial(customer.post, "/api/promotions/validate", cart),
        "recommendations": partial(customer.get, f"/api/recommendations/{customer.user_id}"),
        "notifications": partial(customer.get, "/api/notifications"),
        "home": partial(customer.get, "/api/home"),
    }


@contextmanager
def watch(calls: Mapping[str, Call]) -> Iterator[list[Answer]]:
    """Repeat every call inside the block; yield the growing list of answers."""
    stopping, answers = threading.Event(), list[Answer]()

    def repeat(name: str) -> None:
        while not stopping.is_set():
            answers.append(make_call(name, calls[name]))
            stopping.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=repeat, args=[name]) for name in calls]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def make_call(name: str, call: Call) -> Answer:
    """Make one call; return its answer."""
    began = time.monotonic()
    try:
        outcome = str(call().status_code)
    except httpx.HTTPError as error:
        outcome = repr(error)
    return Answer(name, began, time.monotonic() - began, outcome)
