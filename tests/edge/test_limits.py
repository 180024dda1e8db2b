"""How much one client may ask for, and who counts as one."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mamie_rosa.users.v1 import users_pb2

from tests.edge import grpc_web
from tests.edge.conftest import addresses, client_from
from tests.edge.envelope import reason_of
from tests.edge.envoy import Envoy
from tests.edge.mesh import Mesh

pytestmark = pytest.mark.integration

LIMIT = 100
LOGIN_LIMIT = 10
REFILLED = 15
"""More than comes back, at 100 a minute, while a test counts."""

LOGIN = "/api/users/login"
ORIGIN = {"origin": "http://localhost:3000"}


def use_up(client: httpx.Client) -> httpx.Response:
    """Ask more than is allowed at once; return the last answer."""
    return [client.get("/nothing") for _ in range(LIMIT + REFILLED)][-1]


def test_a_burst_is_answered_up_to_the_limit_and_no_further(client: httpx.Client) -> None:
    answers = [client.get("/nothing") for _ in range(LIMIT + REFILLED)]
    assert {answer.status_code for answer in answers[:LIMIT]} == {404}
    assert reason_of(answers[-1]) == (429, "RATE_LIMITED")


def test_a_limited_client_is_told_when_to_come_back(client: httpx.Client) -> None:
    headers = use_up(client).headers
    assert int(headers["retry-after"]) >= 1
    assert headers["x-ratelimit-limit"].split(",")[0] == str(LIMIT)
    assert headers["x-ratelimit-remaining"] == "0"
    assert int(headers["x-ratelimit-reset"]) >= 1


def test_a_client_is_told_what_remains(client: httpx.Client) -> None:
    assert client.get("/api/products").headers["x-ratelimit-remaining"] == str(LIMIT - 1)


def test_another_address_is_served(client: httpx.Client, alice: httpx.Client) -> None:
    assert use_up(client).status_code == 429
    assert alice.get("/api/orders").status_code == 200


def test_x_forwarded_for_does_not_help(client: httpx.Client) -> None:
    assert use_up(client).status_code == 429
    headers = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9"}
    assert client.get("/nothing", headers=headers).status_code == 429


def test_signing_in_has_a_limit_of_its_own(client: httpx.Client) -> None:
    answers = [client.post(LOGIN, json={}) for _ in range(LOGIN_LIMIT + 3)]
    assert {answer.status_code for answer in answers[:LOGIN_LIMIT]} == {200}
    assert reason_of(answers[-1]) == (429, "RATE_LIMITED")
    assert client.get("/api/products").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/api/users/register", LOGIN + "/", LOGIN + "?a=b", "/api//users/login", "/api/users/log%69n"],
)
def test_no_spelling_walks_around_it(client: httpx.Client, path: str) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    assert client.post(path, json={}).status_code == 429


def test_all_ways_to_sign_in_count_together(client: httpx.Client) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    path = "/mamie_rosa.users.v1.UsersService/LoginUser"
    assert "too many" in grpc_web.call(client, path, users_pb2.LoginUserRequest()).text


def test_preflights_do_not_count(client: httpx.Client) -> None:
    headers = ORIGIN | {"access-control-request-method": "POST"}
    for _ in range(LIMIT + REFILLED):
        assert client.options("/api/orders", headers=headers).status_code == 200
    assert client.get("/api/products").status_code == 200


def test_a_page_may_read_that_it_is_limited(client: httpx.Client) -> None:
    assert use_up(client).status_code == 429
    answer = client.get("/nothing", headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_a_crowd_does_not_make_the_edge_forget(client: httpx.Client, edge: Envoy) -> None:
    for _ in range(LOGIN_LIMIT + 3):
        client.post(LOGIN, json={})
    for _ in range(50):
        with client_from(next(addresses), edge) as somebody:
            assert somebody.post(LOGIN, json={}).status_code == 200
    assert client.post(LOGIN, json={}).status_code == 429


class TestBehindAProxy:
    """With one trusted hop, the address that our proxy names is the client's."""

    @pytest.fixture
    def proxied(self, tmp_path: Path, mesh: Mesh) -> Iterator[Envoy]:
        envoy = Envoy(tmp_path, xds_port=mesh.port, trusted_hops=1)
        yield envoy
        envoy.stop()

    def test_each_client_of_the_proxy_counts_by_itself(self, proxied: Envoy) -> None:
        with client_from(next(addresses), proxied) as proxy:
            first = {"x-forwarded-for": "203.0.113.1"}
            for _ in range(LIMIT + REFILLED):
                refused = proxy.get("/nothing", headers=first)
            assert refused.status_code == 429
            second = {"x-forwarded-for": "203.0.113.2"}
            assert proxy.get("/nothing", headers=second).status_code == 404

    def test_what_the_client_claimed_before_the_proxy_does_not_help(self, proxied: Envoy) -> None:
        with client_from(next(addresses), proxied) as proxy:
            for number in range(LIMIT + REFILLED):
                claimed = {"x-forwarded-for": f"198.51.100.{number}, 203.0.113.1"}
                refused = proxy.get("/nothing", headers=claimed)
            assert refused.status_code == 429
