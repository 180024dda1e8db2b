"""How long a call may take, and when it is made again."""

import socket
import struct
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.edge.conftest import Place
from tests.edge.envelope import reason_of
from tests.edge.fake_shop import FakeShop

pytestmark = pytest.mark.integration

CLOSE_AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture
def breaking() -> Iterator[int]:
    """Yield the port of an instance that breaks down over every request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_break_down, args=[listening])
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def healthy(shop: FakeShop) -> int:
    """Return the port of an instance that has not been seen to fail."""
    return shop.open()


def _break_down(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the test is over
            return
        with connection:
            connection.recv(65536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_AT_ONCE)


def cancel(client: httpx.Client, order: str) -> httpx.Response:
    return client.post(f"/api/orders/{order}/cancel", json={"reason": "x"})


@pytest.mark.parametrize(
    ("path", "seconds"), [("/api/products/timed", 5), ("/api/orders/timed", 5)]
)
def test_a_read_has_a_deadline(
    alice: httpx.Client, shop: FakeShop, path: str, seconds: float
) -> None:
    assert alice.get(path).status_code == 200
    assert seconds - 1 < shop.calls[-1].remaining_seconds <= seconds


def test_an_order_has_more_time(alice: httpx.Client, shop: FakeShop) -> None:
    assert cancel(alice, "timed").status_code == 200
    (call,) = shop.calls_of("CancelOrder", id="timed")
    assert 7 < call.remaining_seconds <= 8


@pytest.mark.parametrize("deadline", ["1S", "99999999H", "rubbish"])
def test_a_rest_client_does_not_choose_it(
    alice: httpx.Client, shop: FakeShop, deadline: str
) -> None:
    headers = {"grpc-timeout": deadline, "grpc-encoding": "gzip"}
    assert alice.get(f"/api/orders/{deadline}", headers=headers).status_code == 200
    (call,) = shop.calls_of("GetOrder", id=deadline)
    assert 4 < call.remaining_seconds <= 5


def test_a_service_that_is_too_slow_is_not_waited_for(alice: httpx.Client, shop: FakeShop) -> None:
    assert reason_of(alice.get("/api/orders/slow")) == (504, "DEADLINE_EXCEEDED")
    assert len(shop.calls_of("GetOrder", id="slow")) == 1


def test_a_read_that_is_refused_is_tried_on_another_instance(
    alice: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    assert reason_of(alice.get("/api/orders/unavailable/history")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("GetOrderHistory", id="unavailable")]
    assert sorted(asked[:2]) == sorted(instances)


def test_a_read_that_breaks_is_tried_on_another_instance(
    alice: httpx.Client, place: Place, healthy: int, breaking: int
) -> None:
    place("orders", breaking, healthy)
    assert {alice.get(f"/api/orders/{number}").status_code for number in range(6)} == {200}


def test_a_change_that_is_refused_is_not_made_again(alice: httpx.Client, shop: FakeShop) -> None:
    assert reason_of(cancel(alice, "unavailable")) == (503, "STORE_UNAVAILABLE")
    assert len(shop.calls_of("CancelOrder", id="unavailable")) == 1


def test_a_change_that_breaks_is_not_made_again(
    alice: httpx.Client, shop: FakeShop, place: Place, healthy: int, breaking: int
) -> None:
    place("orders", breaking, healthy)
    answers = [cancel(alice, "broken").status_code for _ in range(4)]
    assert set(answers) == {200, 503}
    assert len(shop.calls_of("CancelOrder", id="broken")) == answers.count(200)


def test_a_change_that_cannot_have_been_seen_is_made_elsewhere(
    alice: httpx.Client, place: Place, healthy: int
) -> None:
    place("orders", 1, healthy)
    assert {cancel(alice, "elsewhere").status_code for _ in range(4)} == {200}
