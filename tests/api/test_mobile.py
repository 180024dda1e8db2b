"""The API as an app uses it over a network that loses answers, cuts streams and goes down."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.event_stream import Event, read_events
from tests.support.flaky_network import FlakyNetwork
from tests.support.shop import ADDRESS, Customer, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

ATTEMPTS = 5


@pytest.fixture
def network(shop: Shop) -> Iterator[FlakyNetwork]:
    with FlakyNetwork(shop.url) as network:
        yield network


class App:
    """An app of one customer: repeats what was lost, keeps tags of answers and a cart in a file."""

    def __init__(self, network: FlakyNetwork, customer: Customer, cart: Path) -> None:
        headers = {"authorization": f"Bearer {customer.token}"}
        self._http = httpx.Client(base_url=network.url, headers=headers, timeout=15)
        self._answers: dict[str, httpx.Response] = {}
        self._cart = cart
        self.bytes_received = 0

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        """Return the JSON of a path: from the app's own cache when it has not changed."""
        known = self._answers.get(path)
        headers = {"if-none-match": known.headers["etag"]} if known else {}
        answer = self._repeat("GET", path, headers=headers)
        self.bytes_received += len(answer.content)
        if answer.status_code != 304:
            self._answers[path] = answer
        return self._answers[path].json()

    def add_to_cart(self, product_id: str, quantity: int) -> None:
        """Keep a line; no network is needed."""
        lines = [*self.cart, {"productId": product_id, "quantity": quantity}]
        self._cart.write_text(json.dumps({"key": str(uuid.uuid4()), "items": lines}))

    @property
    def cart(self) -> list[dict[str, Any]]:
        """Return the lines, also after the app was closed."""
        return json.loads(self._cart.read_text())["items"] if self._cart.exists() else []

    def order(self) -> httpx.Response:
        """Order the cart, with the key that it got when it last changed."""
        cart = json.loads(self._cart.read_text())
        return self._repeat(
            "POST",
            "/api/orders",
            json={"items": cart["items"], "shippingAddress": ADDRESS},
            headers={"idempotency-key": cart["key"]},
        )

    def watch(self, order_id: str, after: int | None = None) -> Iterator[Event]:
        """Yield events until the stream ends or is cut."""
        headers = {} if after is None else {"last-event-id": str(after)}
        with self._http.stream("GET", f"/api/orders/{order_id}/events", headers=headers) as answer:
            yield from read_events(answer.iter_lines())

    def _repeat(self, method: str, path: str, **options: Any) -> httpx.Response:
        for _ in range(ATTEMPTS):
            try:
                return self._http.request(method, path, **options)
            except httpx.TransportError:
                continue
        raise httpx.ConnectError("the network is down")


@pytest.fixture
def app(network: FlakyNetwork, customer: Customer, tmp_path: Path) -> Iterator[App]:
    app = App(network, customer, tmp_path / "cart.json")
    yield app
    app.close()


def test_an_order_whose_answers_are_lost_is_placed_once(
    shop: Shop, customer: Customer, network: FlakyNetwork, app: App
) -> None:
    product = shop.add_product(stock=10)
    app.add_to_cart(product["productId"], 2)
    network.lose_answers(2)
    answer = app.order()
    assert answer.status_code == 201
    assert customer.get("/api/orders").json()["total"] == 1
    customer.await_status(answer.json()["orderId"], "CONFIRMED")
    assert shop.stock_of(product) == 8


def test_without_a_key_a_lost_answer_would_place_two_orders(
    shop: Shop, customer: Customer, network: FlakyNetwork
) -> None:
    product = shop.add_product(stock=10)
    body = {
        "items": [{"productId": product["productId"], "quantity": 1}],
        "shippingAddress": ADDRESS,
    }
    headers = {"authorization": f"Bearer {customer.token}"}
    network.lose_answers(1)
    with httpx.Client(base_url=network.url, headers=headers, timeout=15) as careless:
        with pytest.raises(httpx.TransportError):
            careless.post("/api/orders", json=body)
        assert careless.post("/api/orders", json=body).status_code == 201
    assert customer.get("/api/orders").json()["total"] == 2


def test_a_cut_stream_goes_on_where_it_ended(
    shop: Shop, customer: Customer, network: FlakyNetwork, app: App
) -> None:
    order_id = customer.buy((shop.add_product(), 1))
    events: list[Event] = []
    with pytest.raises(httpx.TransportError):
        for event in app.watch(order_id):
            events.append(event)
            if event.status == "CONFIRMED":
                network.cut()
    assert customer.cancel(order_id).status_code == 200
    events += app.watch(order_id, after=events[-1].id)
    assert [event.id for event in events] == sorted({event.id for event in events})
    statuses = [event.status for event in events]
    assert statuses[0] == "PENDING"
    assert statuses[-1] == "CANCELLED"
    assert statuses.count("CONFIRMED") == 1


def test_what_has_not_changed_is_not_sent_again(shop: Shop, customer: Customer, app: App) -> None:
    product = shop.add_product()
    order_id = customer.buy((product, 1))
    paths = [
        f"/api/orders/{order_id}",
        "/api/orders",
        f"/api/orders/{order_id}/history",
        f"/api/users/{customer.user_id}",
        f"/api/products/{product['productId']}",
    ]
    first = [app.get(path) for path in paths]
    received = app.bytes_received
    assert received > 1000
    assert [app.get(path) for path in paths] == first
    assert app.bytes_received == received
    customer.cancel(order_id)
    eventually(lambda: app.get(paths[0])["status"] == "CANCELLED")


def test_a_cart_that_was_filled_offline_is_ordered_later(
    shop: Shop, customer: Customer, network: FlakyNetwork, app: App, tmp_path: Path
) -> None:
    product = shop.add_product(stock=1)
    network.is_down = True
    app.add_to_cart(product["productId"], 2)
    with pytest.raises(httpx.TransportError):
        app.order()
    network.is_down = False
    started_again = App(network, customer, tmp_path / "cart.json")
    assert started_again.cart == [{"productId": product["productId"], "quantity": 2}]
    refused = started_again.order()
    assert refused.status_code == 422
    assert refused.json()["details"][0]["metadata"]["availableQuantities"] == "1"
    (tmp_path / "cart.json").unlink()
    started_again.add_to_cart(product["productId"], 1)
    assert started_again.order().status_code == 201
    started_again.close()
