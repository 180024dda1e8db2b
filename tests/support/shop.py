"""The shop as its clients see it: JSON over HTTP, through Envoy."""

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


class Shop:
    """The shop behind one URL; what tests need that is nobody's in particular."""

    def __init__(self, url: str, *, admin_email: str, admin_password: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=15, verify=False)  # noqa: S501 - loopback
        self.visitor = Person(self.http)
        self.admin = self.sign_in(admin_email, admin_password)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def register(self, *, accept_language: str = "", **details: Any) -> "Person":
        """Return a new client of the shop, signed in."""
        person = {
            "email": f"{uuid.uuid4().hex}@clients.example",
            "password": PASSWORD,
            "firstName": "Alice",
            "lastName": "Martin",
        } | details
        path = "/api/users/register"
        answer = self.visitor.post(path, person, accept_language=accept_language)
        assert answer.status_code == 201, answer.text
        return Person(self.http, **answer.json(), email=person["email"])

    def sign_in(self, email: str, password: str) -> "Person":
        """Return somebody who has an account, signed in."""
        answer = self.visitor.post("/api/users/login", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return Person(self.http, **answer.json(), email=email)

    def add_product(self, *, stock: int = 100, **details: Any) -> dict[str, Any]:
        """Return a new product that no other test knows."""
        product = {
            "sku": f"test_{uuid.uuid4().hex[:12]}",
            "title": "Test kibble",
            "category": CATEGORY,
            "price": "10.00",
            "stock": stock,
        } | details
        answer = self.admin.post("/api/products", product)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def add_promotion(self, **rules: Any) -> str:
        """Return the code of a new promotion of 10 %, for products that tests add."""
        promotion: dict[str, Any] = {
            "code": f"T{uuid.uuid4().hex[:12].upper()}",
            "discountPercentage": 10,
            "category": CATEGORY,
            "validFrom": "2020-01-01T00:00:00Z",
            "validUntil": "2099-01-01T00:00:00Z",
        } | rules
        answer = self.admin.post("/api/promotions", promotion)
        assert answer.status_code == 201, answer.text
        return promotion["code"]

    def stock_of(self, product: Mapping[str, Any]) -> int:
        """Return the units of a product on sale now, past every cache."""
        return self.admin.get(f"/api/products/{product['productId']}").json()["stock"]

    def uses_of(self, code: str) -> int:
        """Return how many orders have used a promotion code."""
        return self.admin.get(f"/api/promotions/{code}").json()["usageCount"]


class Person:
    """Somebody who talks to the shop; with a token unless a visitor."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        userId: str = "",  # noqa: N803 - as JSON has it
        token: str = "",
        expiresIn: int = 0,  # noqa: N803
        email: str = "",
    ) -> None:
        self._http = http
        self.user_id = userId
        self.token = token
        self.expires_in = expiresIn
        self.email = email

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Make one request; `headers` are named in Python's way (idempotency_key)."""
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

    def order(
        self, *lines: tuple[Mapping[str, Any], int], key: str = "", **more: Any
    ) -> httpx.Response:
        """Order quantities of products."""
        items = [{"productId": p["productId"], "quantity": quantity} for p, quantity in lines]
        headers = {"idempotency_key": key} if key else {}
        body = {"items": items, "shippingAddress": ADDRESS} | more
        return self.post("/api/orders", body, **headers)

    def place(self, *lines: tuple[Mapping[str, Any], int], **more: Any) -> str:
        """Order quantities of products and return the order's id."""
        answer = self.order(*lines, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()["orderId"]

    def see(self, order_id: str) -> dict[str, Any]:
        """Return an order as it stands."""
        return self.get(f"/api/orders/{order_id}").json()

    def await_status(self, order_id: str, status: str, *, seconds: float = 10) -> dict[str, Any]:
        """Return an order as soon as it stands at a status."""

        def reached() -> dict[str, Any] | None:
            order = self.see(order_id)
            return order if order.get("status") == status else None

        return eventually(reached, seconds=seconds)

    def history(self, order_id: str) -> list[str]:
        """Return what happened to an order, by the types of its events."""
        events = self.get(f"/api/orders/{order_id}/history").json()["events"]
        return [event["type"] for event in events]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return (HTTP status, reason) of an error; it has the one shape that all errors have."""
    error = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert isinstance(error["code"], int)
    assert error["message"]
    (info,) = [d for d in error["details"] if d["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "mamie-rosa"
    return answer.status_code, info["reason"]
