"""Orders with a key, sent again until they are answered for good: what a careful customer does.

Each customer wants one order and sends it twice at once, again and again with the same key,
until a pair of answers is final. The stock is exactly what all of them want, and the code has
exactly one use for each, so that an answer that sees what the same key has reserved or redeemed
before is wrong, and shows.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from scripts.verification.invariants import is_final
from scripts.verification.published import order_of_key
from tests.faults.workloads import PlacedOrder
from tests.support.concurrency import call_at_once
from tests.support.shop import Customer, Product, Shop

QUANTITY = 3
AT_ONCE = 2
PAUSE_SECONDS = 0.5
MAX_SECONDS = 300
"""After that long a customer gives up, if not stopped before."""


class KeyedAnswer(NamedTuple):
    """One answer to a key; `status` is 0 for a transport error, `order_id` that of a 201."""

    status: int
    reason: str = ""
    order_id: str = ""

    @property
    def final(self) -> bool:
        """Whether the customer believes it; any other answer asks to send the same again."""
        return is_final(self.status, self.reason)


@dataclass
class KeyedOrder:
    """An order that a customer wants once, under one key, and every answer to it."""

    customer: Customer
    product: Product
    code: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    answers: list[KeyedAnswer] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def attempt(self) -> KeyedAnswer:
        """Send it once."""
        began = time.monotonic()
        try:
            answer = self.customer.order(
                (self.product, QUANTITY), key=self.key, promoCode=self.code
            )
        except httpx.HTTPError as error:
            given = KeyedAnswer(0, repr(error))
        else:
            given = _read(answer)
        self.answers.append(given)
        self.times.append(time.time())
        self.seconds.append(time.monotonic() - began)
        return given

    def attempt_until_final(self, stopping: threading.Event, at_once: int = AT_ONCE) -> None:
        """Send it some times at once, and again, until all answers are final."""
        while not stopping.is_set():
            if all(answer.final for answer in call_at_once(at_once, self.attempt)):
                return
            stopping.wait(PAUSE_SECONDS)

    @property
    def finals(self) -> set[KeyedAnswer]:
        """The final answers, which must not contradict each other."""
        return {answer for answer in self.answers if answer.final}


def _read(answer: httpx.Response) -> KeyedAnswer:
    body = answer.json()
    if answer.status_code == 201:
        return KeyedAnswer(201, order_id=body["orderId"])
    reasons = [detail["reason"] for detail in body["details"] if "reason" in detail]
    return KeyedAnswer(answer.status_code, *reasons[:1])


@dataclass(frozen=True)
class KeyedOrders:
    """The orders of some customers who share a product and a code."""

    product: Product
    code: str
    orders: Sequence[KeyedOrder]

    @property
    def wanted_units(self) -> int:
        """The units of the product that all of them want together."""
        return QUANTITY * len(self.orders)

    def write_answers(self, file: Path) -> Path:
        """Write all answers down, as scripts/verify reads them."""
        with file.open("w", encoding="utf-8") as lines:
            for order in self.orders:
                for answer, at in zip(order.answers, order.times, strict=True):
                    facts: dict[str, object] = {
                        "userId": order.customer.user_id,
                        "key": order.key,
                        "body": "cart",
                        "at": at,
                        "status": answer.status,
                        "reason": answer.reason,
                        "orderId": answer.order_id,
                    }
                    lines.write(json.dumps(facts) + "\n")
        return file

    @property
    def made(self) -> set[str]:
        """The ids of the product, the code and the orders."""
        keys = {order_of_key(order.customer.user_id, order.key) for order in self.orders}
        return {str(self.product["productId"]), self.code, *keys}

    @property
    def acknowledged(self) -> Sequence[PlacedOrder]:
        """The orders that were answered with 201, once each."""
        return [
            PlacedOrder(order.customer, order_id, QUANTITY)
            for order in self.orders
            for order_id in sorted({each.order_id for each in order.answers} - {""})
        ]


def keyed_orders(shop: Shop, *, customers: int) -> KeyedOrders:
    """Return orders of new customers, with exactly enough stock and uses of the code."""
    product = shop.add_product(stock=QUANTITY * customers)
    code = shop.add_promotion(maxUses=customers, maxUsesPerUser=1)
    buyers = [shop.register() for _ in range(customers)]
    return KeyedOrders(product, code, [KeyedOrder(buyer, product, code) for buyer in buyers])


@contextmanager
def placing(orders: KeyedOrders, *, over_seconds: float, at_once: int = AT_ONCE) -> Iterator[None]:
    """Send the orders, evenly spread over some seconds; after the block all answers are final.

    An error in the block stops them.
    """
    stopping = threading.Event()
    timer = threading.Timer(MAX_SECONDS, stopping.set)
    timer.start()
    interval = over_seconds / len(orders.orders)
    with ThreadPoolExecutor(len(orders.orders)) as senders:
        try:
            for number, order in enumerate(orders.orders):
                senders.submit(_begin, order, number * interval, stopping, at_once)
            yield
        except BaseException:
            stopping.set()
            raise
        finally:
            senders.shutdown(wait=True)
            timer.cancel()


def _begin(
    order: KeyedOrder, delay_seconds: float, stopping: threading.Event, at_once: int
) -> None:
    stopping.wait(delay_seconds)
    order.attempt_until_final(stopping, at_once)
