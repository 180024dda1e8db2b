"""Rate limits by client address."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mamie_rosa.users.v1 import users_pb2

from tests.edge import grpc_web
from tests.edge.conftest import addresses, client_from
from tests.edge.control_plane import StaticControlPlane
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy

pytestmark = pytest.mark.integration

LIMIT = 100
LOGIN_LIMIT = 10
REFILL = 15
"""More tokens than are added, at 100 a minute, during a test."""

LOGIN = "/api/users/login"
ORIGIN = {"origin": "http://localhost:3000"}


def exceed_limit(client: httpx.Client) -> httpx.Response:
    """Exceed the limit; return the last answer."""
    return [client.get("/nothing") for _ in range(LIMIT + REFILL)][-1]


def test_a_burst_is_answered_up_to_the_limit(client: httpx.Client) -> None:
    answers = [client.get("/nothing") for _ in range(LIMIT + REFILL)]
    assert {answer.status_code for answer in answers[:LIMIT]} == {404}
    assert error_of(answers[-1]) == (429, "RATE_LIMITED")


def test_a_limited_answer_has_the_time_of_the_next_attempt(client: httpx.Client) -> None:
    headers = exceed_limit(client).headers
    assert int(headers["retry-after"]) >= 1
    assert headers["x-ratelimit-limit"].split(",")[0] == str(LIMIT)
    assert headers["x-ratelimit-remaining"] == "0"
    assert int(headers["x-ratelimit-reset"]) >= 1


def test_an_answer_has_the_remaining_requests(client: httpx.Client) -> None:
    assert client.get("/api/products").headers["x-ratelimit-remaining"] == str(LIMIT - 1)


def test_another_address_has_a_limit_of_its_own(
    client: httpx.Client, signed_in: httpx.Client
) -> None:
    assert exceed_limit(client).status_code == 429
    assert signed_in.get("/api/orders").status_code == 200


def test_x_forwarded_for_does_not_evade_the_limit(client: httpx.Client) -> None:
    assert exceed_limit(client).status_code == 429
    headers = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9"}
    assert client.get("/nothing", headers=headers).status_code == 429


def test_sign_in_has_a_limit_of_its_own(client: httpx.Client) -> None:
    answers = [client.post(LOGIN, json={}) for _ in range(LOGIN_LIMIT + 3)]
    assert {answer.status_code for answer in answers[:LOGIN_LIMIT]} == {200}
    assert error_of(answers[-1]) == (429, "RATE_LIMITED")
    assert client.get("/api/products").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/api/users/register", LOGIN + "/", LOGIN + "?a=b", "/api//users/login", "/api/users/log%69n"],
)
def test_no_spelling_of_the_path_evades_the_limit(client: httpx.Client, path: str) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    assert client.post(path, json={}).status_code == 429


def test_rest_and_grpc_sign_ins_count_together(client: httpx.Client) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    path = "/mamie_rosa.users.v1.UsersService/LoginUser"
    assert "too many" in grpc_web.call(client, path, users_pb2.LoginUserRequest()).text


def test_preflights_do_not_count(client: httpx.Client) -> None:
    headers = ORIGIN | {"access-control-request-method": "POST"}
    for _ in range(LIMIT + REFILL):
        assert client.options("/api/orders", headers=headers).status_code == 200
    assert client.get("/api/products").status_code == 200


def test_a_web_page_may_read_limit_headers(client: httpx.Client) -> None:
    assert exceed_limit(client).status_code == 429
    answer = client.get("/nothing", headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_many_addresses_do_not_reset_a_limit(client: httpx.Client, edge: Envoy) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    exceeded = time.monotonic()
    for _ in range(50):
        with client_from(next(addresses), edge) as another:
            assert another.post(LOGIN, json={}).status_code == 200
    # What was refilled meanwhile is less than a whole limit, unless the machine is very slow.
    refilled = int((time.monotonic() - exceeded) * LOGIN_LIMIT / 60) + 1
    codes = [client.post(LOGIN, json={}).status_code for _ in range(refilled + 1)]
    assert codes[-1] == 429


class TestBehindAProxy:
    """With one trusted hop, the client's address is the one that the proxy adds."""

    @pytest.fixture
    def proxied(self, tmp_path: Path, control_plane: StaticControlPlane) -> Iterator[Envoy]:
        envoy = Envoy(tmp_path, xds_port=control_plane.port, trusted_hops=1)
        yield envoy
        envoy.stop()

    def test_each_client_of_the_proxy_has_a_limit_of_its_own(self, proxied: Envoy) -> None:
        with client_from(next(addresses), proxied) as proxy:
            first = {"x-forwarded-for": "203.0.113.1"}
            for _ in range(LIMIT + REFILL):
                limited = proxy.get("/nothing", headers=first)
            assert limited.status_code == 429
            second = {"x-forwarded-for": "203.0.113.2"}
            assert proxy.get("/nothing", headers=second).status_code == 404

    def test_addresses_before_the_proxys_do_not_evade_the_limit(self, proxied: Envoy) -> None:
        with client_from(next(addresses), proxied) as proxy:
            for number in range(LIMIT + REFILL):
                claimed = {"x-forwarded-for": f"198.51.100.{number}, 203.0.113.1"}
                limited = proxy.get("/nothing", headers=claimed)
            assert limited.status_code == 429
