"""Deadlines and retries of calls."""

import socket
import struct
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.edge.conftest import SetInstances
from tests.edge.envelope import error_of
from tests.edge.fake_shop import FakeShop

pytestmark = pytest.mark.integration

CLOSE_AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture
def resetting() -> Iterator[int]:
    """Yield the port of an instance that resets the connection of every request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_reset_connections, args=[listening])
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def healthy(shop: FakeShop) -> int:
    """Return the port of an instance that no test has seen fail."""
    return shop.open()


def _reset_connections(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the test has ended
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
    signed_in: httpx.Client, shop: FakeShop, path: str, seconds: float
) -> None:
    assert signed_in.get(path).status_code == 200
    assert seconds - 1 < shop.calls[-1].remaining_seconds <= seconds


def test_a_write_has_a_longer_deadline(signed_in: httpx.Client, shop: FakeShop) -> None:
    assert cancel(signed_in, "timed").status_code == 200
    (call,) = shop.calls_of("CancelOrder", id="timed")
    assert 7 < call.remaining_seconds <= 8


@pytest.mark.parametrize("deadline", ["1S", "99999999H", "rubbish"])
def test_a_rest_client_does_not_choose_its_deadline(
    signed_in: httpx.Client, shop: FakeShop, deadline: str
) -> None:
    headers = {"grpc-timeout": deadline, "grpc-encoding": "gzip"}
    assert signed_in.get(f"/api/orders/{deadline}", headers=headers).status_code == 200
    (call,) = shop.calls_of("GetOrder", id=deadline)
    assert 4 < call.remaining_seconds <= 5


def test_a_slow_service_is_not_awaited_past_the_deadline(
    signed_in: httpx.Client, shop: FakeShop
) -> None:
    assert error_of(signed_in.get("/api/orders/slow")) == (504, "DEADLINE_EXCEEDED")
    assert len(shop.calls_of("GetOrder", id="slow")) == 1


def test_an_unavailable_read_is_retried_on_another_instance(
    signed_in: httpx.Client, shop: FakeShop, instances: list[int]
) -> None:
    assert error_of(signed_in.get("/api/orders/unavailable/history")) == (503, "STORE_UNAVAILABLE")
    asked = [call.instance for call in shop.calls_of("GetOrderHistory", id="unavailable")]
    assert sorted(asked[:2]) == sorted(instances)


def test_a_read_whose_connection_is_reset_is_retried_on_another_instance(
    signed_in: httpx.Client, set_instances: SetInstances, healthy: int, resetting: int
) -> None:
    set_instances("orders", resetting, healthy)
    assert {signed_in.get(f"/api/orders/{number}").status_code for number in range(6)} == {200}


def test_an_unavailable_write_is_not_retried(signed_in: httpx.Client, shop: FakeShop) -> None:
    assert error_of(cancel(signed_in, "unavailable")) == (503, "STORE_UNAVAILABLE")
    assert len(shop.calls_of("CancelOrder", id="unavailable")) == 1


def test_a_write_whose_connection_is_reset_is_not_retried(
    signed_in: httpx.Client,
    shop: FakeShop,
    set_instances: SetInstances,
    healthy: int,
    resetting: int,
) -> None:
    set_instances("orders", resetting, healthy)
    answers = [cancel(signed_in, "broken").status_code for _ in range(4)]
    assert set(answers) == {200, 503}
    assert len(shop.calls_of("CancelOrder", id="broken")) == answers.count(200)


def test_a_write_that_reached_no_instance_is_retried_on_another(
    signed_in: httpx.Client, set_instances: SetInstances, healthy: int
) -> None:
    set_instances("orders", 1, healthy)
    assert {cancel(signed_in, "elsewhere").status_code for _ in range(4)} == {200}
