"""Sessions of browsers: the edge keeps the token in a cookie (docs/decisions/0025)."""

import re

import httpx
import pytest
from joserfc import jwk

from tests.edge import tokens
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import Call, FakeShop

pytestmark = pytest.mark.integration

SESSION = {"x-session": "1"}
ORIGIN = {"origin": "http://localhost:3000"}


@pytest.fixture
def token(key: jwk.ECKey) -> str:
    return tokens.sign(key, sub="browser")


def sign_in(client: httpx.Client, token: str, **headers: str) -> httpx.Response:
    body = {"email": "rosa@customers.example", "password": token}
    return client.post("/api/users/login", json=body, headers=headers)


def with_cookie(token: str, **headers: str) -> dict[str, str]:
    return {"cookie": f"theme=dark; mamie_rosa_session={token}; last=1"} | headers


@pytest.mark.parametrize("path", ["/api/users/login", "/api/users/login/", "/api/users/register"])
def test_the_token_goes_into_the_cookie_and_not_into_the_page(
    client: httpx.Client, token: str, path: str
) -> None:
    body = {
        "email": "rosa@customers.example",
        "password": token[:100],
        "firstName": "Rosa",
        "lastName": "Martin",
    }
    answer = client.post(path, json=body, headers=SESSION)
    assert answer.status_code == 200
    assert (answer.json()["token"], answer.json()["expiresIn"]) == ("", 3600)
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name == f"mamie_rosa_session={token[:100]}"
    assert attributes == ["Max-Age=3600", "Path=/api", "HttpOnly", "SameSite=Strict"]


def test_other_clients_get_the_token_and_no_cookie(client: httpx.Client) -> None:
    answer = sign_in(client, "a.b.c")
    assert answer.json()["token"] == "a.b.c"
    assert "set-cookie" not in answer.headers


def test_over_https_the_cookie_is_for_https_alone(edge: Envoy) -> None:
    with httpx.Client(base_url=edge.https, verify=False) as client:  # noqa: S501 - loopback
        answer = sign_in(client, "a.b.c", **SESSION)
    assert answer.headers["set-cookie"].endswith("; Secure")


def test_a_client_does_not_say_how_its_request_came(client: httpx.Client) -> None:
    answer = sign_in(client, "a.b.c", **SESSION, **{"x-forwarded-proto": "https"})
    assert "Secure" not in answer.headers["set-cookie"]


def test_a_rejected_sign_in_begins_no_session(client: httpx.Client) -> None:
    answer = client.post("/api/users/login", content=b"{", headers=SESSION)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def calls_with(shop: FakeShop, token: str) -> list[Call]:
    return [each for each in shop.calls if each.metadata.get("authorization") == f"Bearer {token}"]


def test_the_session_is_the_callers_identity(
    client: httpx.Client, shop: FakeShop, token: str
) -> None:
    assert client.get("/api/orders", headers=with_cookie(token, **SESSION)).status_code == 200
    (call,) = calls_with(shop, token)
    assert "cookie" not in call.metadata


def test_the_cookie_alone_does_nothing(client: httpx.Client, token: str) -> None:
    assert error_of(client.get("/api/orders", headers=with_cookie(token))) == (401, "NOT_SIGNED_IN")


def test_no_page_of_another_origin_may_use_the_session(client: httpx.Client) -> None:
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "x-session"}
    answer = client.options("/api/orders", headers=ORIGIN | asked)
    assert "x-session" not in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


def test_a_forged_session_is_no_session(client: httpx.Client, token: str) -> None:
    forged = with_cookie(re.sub(r"[^.]+$", "x" * 86, token), **SESSION)
    assert error_of(client.get("/api/orders", headers=forged)) == (401, "TOKEN_INVALID")


def test_the_bearer_token_of_a_request_is_worth_more_than_its_cookie(
    client: httpx.Client, shop: FakeShop, key: jwk.ECKey, token: str
) -> None:
    program = tokens.sign(key, sub="program")
    headers = with_cookie(token, **SESSION, **tokens.bearer(program))
    assert client.get("/api/orders", headers=headers).status_code == 200
    assert calls_with(shop, program)


def test_the_end_of_a_session_deletes_the_cookie(client: httpx.Client, token: str) -> None:
    answer = client.delete("/api/session", headers=with_cookie(token, **SESSION))
    assert (answer.status_code, answer.json()) == (200, {})
    assert "mamie_rosa_session=; Max-Age=0; Path=/api" in answer.headers["set-cookie"]
