"""A shop as an attacker sees it: one URL, an administrator's account, and the public API."""

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.races.single_packet import Answer, Request, send_at_once
from tests.support.shop import ADDRESS, CATEGORY, PASSWORD
from tests.support.waiting import eventually

AT_REST = frozenset({"CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED", "CANCELLED"})


@dataclass(frozen=True)
class Target:
    """The shop behind a URL; everything that it answers comes over HTTP/2.

    `made` are the ids of the products, codes and orders that were attacked.
    """

    url: str
    admin_email: str
    admin_password: str
    made: set[str] = field(default_factory=set)

    def at_once(self, *requests: Request) -> list[Answer]:
        """Send requests that end in one packet."""
        return send_at_once(self.url, requests)

    def call(
        self, method: str, path: str, body: Any = None, *, token: str = "", status: int = 200
    ) -> Any:
        """Send one request, which must have a status; return its body."""
        (answer,) = self.at_once(Request(method, path, body, token))
        assert answer.status == status, (answer.status, answer.json)
        return answer.json

    @cached_property
    def admin(self) -> str:
        """The token of the administrator."""
        account = {"email": self.admin_email, "password": self.admin_password}
        return str(self.call("POST", "/api/users/login", account)["token"])

    @cached_property
    def customers(self) -> list[str]:
        """The tokens of two customers, who take part in all attacks."""
        return [self._register(), self._register()]

    def _register(self) -> str:
        path = "/api/users/register"
        return str(self.call("POST", path, new_account(), status=201)["token"])

    def add_product(self, stock: int) -> str:
        """Add a product and return its id."""
        product = {
            "sku": f"race_{uuid.uuid4().hex[:12]}",
            "title": "Race kibble",
            "category": CATEGORY,
            "price": "10.00",
            "stock": stock,
        }
        path = "/api/products"
        added = self.call("POST", path, product, token=self.admin, status=201)
        return self._remember(str(added["productId"]))

    def add_promotion(self, **rules: Any) -> str:
        """Add a promotion and return its code."""
        promotion = {
            "code": f"R{uuid.uuid4().hex[:12].upper()}",
            "discountPercentage": 10,
            "category": CATEGORY,
            "validFrom": "2020-01-01T00:00:00Z",
            "validUntil": "2099-01-01T00:00:00Z",
        } | rules
        self.call("POST", "/api/promotions", promotion, token=self.admin, status=201)
        return self._remember(str(promotion["code"]))

    def _remember(self, made: str) -> str:
        self.made.add(made)
        return made

    def order(self, product: str, *, quantity: int = 1, by: int = 0, **more: Any) -> Request:
        """Build the request of an order; `key` is its Idempotency-Key."""
        key = more.pop("key", "")
        items = [{"productId": product, "quantity": quantity}]
        body = {"items": items, "shippingAddress": ADDRESS} | more
        return Request("POST", "/api/orders", body, self.customers[by], key)

    def buy(self, product: str) -> str:
        """Order one unit and return the order's id once it is confirmed."""
        (answer,) = self.at_once(self.order(product))
        assert answer.status == 201, answer.json
        order_id = str(answer.json["orderId"])
        assert self.await_rest(order_id) == "CONFIRMED"
        return order_id

    def cancel(self, order_id: str) -> Request:
        """Build the request of a cancellation."""
        body = {"reason": "changed my mind"}
        return Request("POST", f"/api/orders/{order_id}/cancel", body, self.customers[0])

    def change_status(self, order_id: str, status: str) -> Request:
        """Build an administrator's request to change an order's status."""
        body = {"status": status, "trackingNumber": "race"}
        return Request("POST", f"/api/orders/{order_id}/status", body, self.admin)

    def await_rest(self, order_id: str) -> str:
        """Return the status of an order once its saga has ended."""
        self._remember(order_id)

        def status() -> str | None:
            history = self.history(order_id)
            return self.status_of(order_id) if _is_over(history) else None

        return eventually(status, seconds=20)

    def history(self, order_id: str) -> list[str]:
        """Return the types of an order's events."""
        found = self.call("GET", f"/api/orders/{order_id}/history", token=self.admin)
        return [event["type"] for event in found["events"]]

    def status_of(self, order_id: str) -> str:
        """Return the status of an order."""
        return str(self.call("GET", f"/api/orders/{order_id}", token=self.admin)["status"])

    def stock_of(self, product: str) -> int:
        """Return the units of a product that are on sale."""
        return int(self.call("GET", f"/api/products/{product}", token=self.admin)["stock"])

    def ratings_of(self, product: str) -> int:
        """Return how many ratings a product has."""
        found = self.call("GET", f"/api/products/{product}", token=self.admin)
        return int(found["ratings"]["count"])

    def uses_of(self, code: str) -> int:
        """Return how often a code was used."""
        return int(self.call("GET", f"/api/promotions/{code}", token=self.admin)["usageCount"])

    def count_orders(self, by: int = 0) -> int:
        """Return how many orders a customer has."""
        return int(self.call("GET", "/api/orders", token=self.customers[by])["total"])


def _is_over(history: list[str]) -> bool:
    return history[-1] in ("OrderConfirmed", "StockReleased", "OrderShipped")


def new_account() -> dict[str, str]:
    """Build the request of a new account."""
    return {
        "email": f"{uuid.uuid4().hex}@customers.example",
        "password": PASSWORD,
        "firstName": "Race",
        "lastName": "Martin",
    }
