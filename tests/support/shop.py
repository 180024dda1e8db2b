"""The REST API of the shop, as its customers use it through Envoy."""

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.waiting import eventually

PASSWORD = "a long enough password"
CATEGORY = "test-food"
ADDRESS = {
    "recipient": "Alice Martin",
    "line1": "1 rue des Lilas",
    "postalCode": "75011",
    "city": "Paris",
    "country": "FR",
}

Product = Mapping[str, Any]
"""A product as the API answers it; `productId` is enough to order it."""


class Shop:
    """The shop behind one URL, with an administrator and a visitor without an account."""

    def __init__(self, url: str, *, admin_email: str, admin_password: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=15, verify=False)  # noqa: S501 - loopback
        self.visitor = Customer(self.http)
        self.admin = self.sign_in(admin_email, admin_password)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def register(self, *, accept_language: str = "", **details: Any) -> "Customer":
        """Return a new customer, signed in."""
        account = {
            "email": f"{uuid.uuid4().hex}@customers.example",
            "password": PASSWORD,
            "firstName": "Alice",
            "lastName": "Martin",
        } | details
        path = "/api/users/register"
        answer = self.visitor.post(path, account, accept_language=accept_language)
        assert answer.status_code == 201, answer.text
        return self._signed_in(answer, account["email"])

    def sign_in(self, email: str, password: str) -> "Customer":
        """Return the customer of an account, signed in."""
        answer = self.visitor.post("/api/users/login", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return self._signed_in(answer, email)

    def _signed_in(self, answer: httpx.Response, email: str) -> "Customer":
        signed_in = answer.json()
        return Customer(
            self.http,
            user_id=signed_in["userId"],
            token=signed_in["token"],
            expires_in=signed_in["expiresIn"],
            email=email,
        )

    def add_product(self, *, stock: int = 100, **details: Any) -> dict[str, Any]:
        """Return a new product that no other test uses."""
        product = {
            "sku": f"test_{uuid.uuid4().hex[:12]}",
            "title": "Test kibble",
            "category": CATEGORY,
            "price": "10.00",
            "stock": stock,
        } | details
        answer = self.admin.post("/api/products", product)
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added

    def add_promotion(self, **rules: Any) -> str:
        """Return the code of a new promotion: 10 % off products that tests add."""
        promotion: dict[str, Any] = {
            "code": f"T{uuid.uuid4().hex[:12].upper()}",
            "discountPercentage": 10,
            "category": CATEGORY,
            "validFrom": "2020-01-01T00:00:00Z",
            "validUntil": "2099-01-01T00:00:00Z",
        } | rules
        answer = self.admin.post("/api/promotions", promotion)
        assert answer.status_code == 201, answer.text
        return str(promotion["code"])

    def stock_of(self, product: Product) -> int:
        """Return the units of a product that are on sale now, past every cache."""
        return int(self.admin.get(f"/api/products/{product['productId']}").json()["stock"])

    def uses_of(self, code: str) -> int:
        """Return how many orders have redeemed a promotion code."""
        return int(self.admin.get(f"/api/promotions/{code}").json()["usageCount"])


class Customer:
    """A user of the shop; a visitor has no token."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        user_id: str = "",
        token: str = "",
        expires_in: int = 0,
        email: str = "",
    ) -> None:
        self._http = http
        self.user_id = user_id
        self.token = token
        self.expires_in = expires_in
        self.email = email

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Make one request; `headers` have Python names (idempotency_key)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            named.setdefault("authorization", f"Bearer {self.token}")
        return self._http.request(method, path, json=body, headers=named)

    def get(self, path: str) -> httpx.Response:
        """Make a GET request."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Make a POST request."""
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any) -> httpx.Response:
        """Make a PUT request."""
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any) -> httpx.Response:
        """Make a PATCH request."""
        return self.call("PATCH", path, body)

    def order(self, *lines: tuple[Product, int], key: str = "", **more: Any) -> httpx.Response:
        """Order quantities of products and return the response."""
        items = [{"productId": p["productId"], "quantity": quantity} for p, quantity in lines]
        headers = {"idempotency_key": key} if key else {}
        body = {"items": items, "shippingAddress": ADDRESS} | more
        return self.post("/api/orders", body, **headers)

    def place(self, *lines: tuple[Product, int], **more: Any) -> str:
        """Order quantities of products and return the order's id."""
        answer = self.order(*lines, **more)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["orderId"])

    def buy(self, *lines: tuple[Product, int], **more: Any) -> str:
        """Order quantities of products and return the order's id once it is confirmed."""
        order_id = self.place(*lines, **more)
        self.await_status(order_id, "CONFIRMED")
        return order_id

    def cancel(self, order_id: str, reason: str = "changed my mind") -> httpx.Response:
        """Cancel an order and return the response."""
        return self.post(f"/api/orders/{order_id}/cancel", {"reason": reason})

    def get_order(self, order_id: str) -> dict[str, Any]:
        """Return an order as it is now."""
        order: dict[str, Any] = self.get(f"/api/orders/{order_id}").json()
        return order

    def await_status(self, order_id: str, status: str, *, seconds: float = 10) -> dict[str, Any]:
        """Return an order as soon as it has a status."""

        def reached() -> dict[str, Any] | None:
            order = self.get_order(order_id)
            return order if order.get("status") == status else None

        return eventually(reached, seconds=seconds)

    def await_saga_end(self, order_id: str) -> str:
        """Return the status of an order once its saga has ended."""

        def ended() -> bool:
            return self.history(order_id)[-1] in ("OrderConfirmed", "StockReleased")

        eventually(ended)
        return str(self.get_order(order_id)["status"])

    def history(self, order_id: str) -> list[str]:
        """Return the types of an order's events."""
        events = self.get(f"/api/orders/{order_id}/history").json()["events"]
        return [event["type"] for event in events]


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return (HTTP status, reason) of an error, after checking the shape that all errors have."""
    error = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert isinstance(error["code"], int)
    assert error["message"]
    (info,) = [d for d in error["details"] if d["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "mamie-rosa"
    return answer.status_code, info["reason"]
