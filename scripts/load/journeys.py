"""What a believable customer does: register, browse, fill a cart, order, follow, rate or cancel."""

import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any

from scripts.benchmarks.orders import ADDRESS
from scripts.load.measure import TASTES
from scripts.load.products import CATEGORIES

MAX_CUSTOMERS = 200
MEASURED_ORDERS = 1000
"""Of so many last orders the latency is shown."""
POLL_SECONDS = 1.0
FOLLOW_SECONDS = 30.0
SOON_SOLD_OUT = 3
CODES = ("WELCOME10", "EXPIRED20")
NAMES = (("Odile", "Bernard"), ("Karim", "Petit"), ("Jeanne", "Moreau"), ("Lea", "Fontaine"))
ANIMALS = ("dog", "cat", "rabbit")
COMMENTS = ("Gone in a minute.", "She asks for more.", "Not for a picky cat.", "")
CHANCE = {"new": 0.25, "search": 0.4, "code": 0.25, "declined": 0.03, "cancel": 0.08, "rate": 0.4}


class Outcome(StrEnum):
    """What is counted; a journey can have several."""

    REGISTERED = "customers registered"
    ORDERED = "orders placed"
    WITH_CODE = "with a promotion code"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled by the customer"
    DECLINED = "cancelled, as the payment was declined"
    RATED = "products rated"
    OPEN = "not confirmed within 30 s"
    OUT_OF_STOCK = "carts out of stock"
    LIMITED = "rejected by the edge's limits (429)"
    FAILED = "failed"
    SKIPPED = "skipped: too many at once"


@dataclass(frozen=True)
class Answer:
    """An answer of the shop: its HTTP status and its JSON; status 0 when there was none."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)


Send = Callable[[str, str, Mapping[str, Any] | None, Mapping[str, str]], Answer]
"""Sends (method, path, body, headers) to the shop."""


class JourneyEndedError(Exception):
    """A customer gives up; `outcome` is counted, if there is one."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Tally:
    """What all customers did so far; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Outcome] = Counter()
        self._seconds: deque[float] = deque(maxlen=MEASURED_ORDERS)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        with self._lock:
            self._counts[outcome] += 1

    def add_latency(self, seconds: float) -> None:
        """Add how long an order took to be answered."""
        with self._lock:
            self._seconds.append(seconds)

    def read(self) -> tuple[Counter[Outcome], list[float]]:
        """Return the counts, and the latest latencies in seconds, sorted."""
        with self._lock:
            return Counter(self._counts), sorted(self._seconds)


class Customers:
    """The accounts with nobody in the shop at the moment; tokens are in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[str] = deque(maxlen=MAX_CUSTOMERS)

    def take(self) -> str | None:
        """Return the token of the one who has been idle for longest, if there is any."""
        with self._lock:
            return self._idle.popleft() if self._idle else None

    def put(self, token: str) -> None:
        """Put back a token; the oldest is dropped when there are too many."""
        with self._lock:
            self._idle.append(token)


class Journey:
    """One customer's visit, on one thread."""

    def __init__(
        self,
        *,
        send: Send,
        tally: Tally,
        customers: Customers,
        random: Random,
        stop: threading.Event,
        poll_seconds: float = POLL_SECONDS,
        follow_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        self._send = send
        self._tally = tally
        self._customers = customers
        self._random = random
        self._stop = stop
        self._poll_seconds = poll_seconds
        self._follow_seconds = follow_seconds
        self._token = ""

    def run(self) -> None:
        """Visit the shop once; whatever happens is counted."""
        try:
            self._sign_in()
            self._shop()
        except JourneyEndedError as ended:
            if ended.outcome:
                self._tally.add(ended.outcome)
        except (LookupError, TypeError, ArithmeticError):  # an answer without what it must have
            self._tally.add(Outcome.FAILED)
        if self._token:
            self._customers.put(self._token)

    def _sign_in(self) -> None:
        """Come back as an idle customer, or register."""
        known = None if self._happens("new") else self._customers.take()
        self._token = known or self._register()

    def _register(self) -> str:
        first, last = self._random.choice(NAMES)
        account = {
            "email": f"demo-{uuid.uuid4().hex}@customers.example",
            "password": uuid.uuid4().hex,
            "firstName": first,
            "lastName": last,
            "animalType": self._random.choice(ANIMALS),
        }
        answer = self._call("POST", "/api/users/register", account, expected=(201,))
        token = str(answer.body["token"])
        self._tally.add(Outcome.REGISTERED)
        return token

    def _shop(self) -> None:
        cart = self._fill_cart(self._browse())
        order_id = self._order(cart)
        status = self._follow(order_id)
        if status == "CANCELLED":
            self._tally.add(Outcome.DECLINED)
        elif status != "CONFIRMED":
            raise JourneyEndedError(None if self._stop.is_set() else Outcome.OPEN)
        else:
            self._tally.add(Outcome.CONFIRMED)
            self._look_back(order_id, cart)

    def _browse(self) -> Sequence[Mapping[str, Any]]:
        """Search, or open a category; return what is there and on sale."""
        if self._happens("search"):
            query = f"q={self._random.choice(TASTES)}"
        else:
            query = f"category={self._random.choice(CATEGORIES)}"
        for path in (f"/api/products?{query}&limit=20", "/api/products?limit=50"):
            found = self._call("GET", path).body.get("products", [])
            if on_sale := [each for each in found if each.get("stock", 0) > SOON_SOLD_OUT]:
                return on_sale
        raise JourneyEndedError(Outcome.OUT_OF_STOCK)

    def _fill_cart(self, products: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, Decimal]]:
        """Look at a product, put some into the cart: (id, quantity, price of one)."""
        chosen = self._random.sample(products, min(len(products), self._random.randint(1, 3)))
        self._call("GET", f"/api/products/{chosen[0]['productId']}")
        lines = [(each, self._random.randint(1, 2)) for each in chosen]
        items = [{"productId": each["productId"], "quantity": count} for each, count in lines]
        if not self._call("POST", "/api/products/check-stock", {"items": items}).body.get(
            "allAvailable"
        ):
            raise JourneyEndedError(Outcome.OUT_OF_STOCK)
        return [(each["productId"], count, Decimal(each["price"])) for each, count in lines]

    def _order(self, cart: Sequence[tuple[str, int, Decimal]]) -> str:
        """Order a cart and return the order's id."""
        items = [{"productId": product, "quantity": count} for product, count, _ in cart]
        body: dict[str, Any] = {"items": items, "shippingAddress": ADDRESS}
        if self._happens("declined"):
            body["paymentToken"] = "tok_declined"
        if code := self._code(sum(count * price for _, count, price in cart)):
            body["promoCode"] = code
        began = time.monotonic()
        answer = self._call("POST", "/api/orders", body, expected=(201, 422))
        if answer.status == 422:  # sold in this very second, or the code was used up
            raise JourneyEndedError(Outcome.OUT_OF_STOCK)
        self._tally.add_latency(time.monotonic() - began)
        self._tally.add(Outcome.ORDERED)
        if code:
            self._tally.add(Outcome.WITH_CODE)
        return str(answer.body["orderId"])

    def _code(self, total: Decimal | int) -> str:
        """Return a promotion code that applies, if the customer has one."""
        if not self._happens("code"):
            return ""
        code = self._random.choices(CODES, weights=(10, 1))[0]
        body = {"promoCode": code, "cartTotal": f"{total:.2f}"}
        return code if self._call("POST", "/api/promotions/validate", body).body["isValid"] else ""

    def _follow(self, order_id: str) -> str:
        """Return the status of an order once it is decided, or as it is after a while."""
        deadline = time.monotonic() + self._follow_seconds
        while True:
            status = str(self._call("GET", f"/api/orders/{order_id}").body.get("status"))
            is_decided = status in ("CONFIRMED", "CANCELLED")
            if is_decided or time.monotonic() > deadline or self._stop.wait(self._poll_seconds):
                return status

    def _look_back(self, order_id: str, cart: Sequence[tuple[str, int, Decimal]]) -> None:
        """Cancel, or rate a product, or neither."""
        if self._happens("cancel"):
            body = {"reason": "ordered twice by mistake"}
            self._call("POST", f"/api/orders/{order_id}/cancel", body)
            self._tally.add(Outcome.CANCELLED)
        elif self._happens("rate"):
            stars = self._random.choices((5, 4, 3, 2, 1), weights=(6, 5, 2, 1, 1))[0]
            rating = {"stars": stars, "comment": self._random.choice(COMMENTS)}
            path = f"/api/products/{cart[0][0]}/ratings"
            self._call("POST", path, rating, expected=(200, 201))
            self._tally.add(Outcome.RATED)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        expected: Sequence[int] = (200,),
    ) -> Answer:
        """Make a request; JourneyEndedError when the customer stops, or for another status.

        The key makes it safe to repeat, as a browser does.
        """
        if self._stop.is_set():
            raise JourneyEndedError
        headers = {"idempotency-key": str(uuid.uuid4())} if path == "/api/orders" else {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        answer = self._send(method, path, body, headers)
        if answer.status in expected:
            return answer
        if answer.status == 401:  # the token has expired: this customer does not come back
            self._token = ""
            raise JourneyEndedError
        raise JourneyEndedError(Outcome.LIMITED if answer.status == 429 else Outcome.FAILED)

    def _happens(self, what: str) -> bool:
        return self._random.random() < CHANCE[what]
