"""Verification of tokens, and which services get them."""

import base64
import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk

from services.common.context import Caller
from services.common.rpc.public_keys import PublicKeys
from services.common.rpc.tokens import TokenVerifier
from tests.edge import tokens
from tests.edge.conftest import has_keys
from tests.edge.control_plane import StaticControlPlane
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

NO_SIGNATURE = b'{"alg": "none"}'
SHARED_SECRET = b'{"alg": "HS256", "kid": "first"}'


def get_orders(client: httpx.Client, token: str) -> httpx.Response:
    return client.get("/api/orders", headers=tokens.bearer(token))


def test_a_service_gets_the_token_and_verifies_it_itself(
    client: httpx.Client, key: jwk.ECKey, shop: FakeShop
) -> None:
    token = tokens.sign(key, sub="customer", role="admin")
    assert get_orders(client, token).status_code == 200
    assert shop.calls[-1].metadata["authorization"] == f"Bearer {token}"
    verifier = TokenVerifier(keys=PublicKeys(fetch=lambda: tokens.published(key)))
    assert verifier.verify(token).caller == Caller("customer", "admin")


@pytest.mark.parametrize(
    ("verb", "path", "method"),
    [
        ("GET", "/api/products/open", "GetProduct"),
        ("GET", "/api/products", "ListProducts"),
        ("POST", "/api/products/check-stock", "CheckStock"),
        ("POST", "/api/users/login", "LoginUser"),
    ],
)
def test_a_public_method_does_not_get_the_token(
    signed_in: httpx.Client, shop: FakeShop, verb: str, path: str, method: str
) -> None:
    assert signed_in.request(verb, path).status_code == 200
    assert "authorization" not in shop.calls_of(method)[-1].metadata


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YTpi"}])
def test_a_request_without_a_bearer_token_is_not_signed_in(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.get("/api/orders", headers=headers)
    assert error_of(answer) == (401, "NOT_SIGNED_IN")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_token_in_the_query_is_ignored(client: httpx.Client, key: jwk.ECKey) -> None:
    answer = client.get(f"/api/orders?access_token={tokens.sign(key)}")
    assert error_of(answer) == (401, "NOT_SIGNED_IN")


def test_an_expired_token_has_a_reason_of_its_own(client: httpx.Client, key: jwk.ECKey) -> None:
    token = tokens.sign(key, exp=int(time.time()) - 60)
    assert error_of(get_orders(client, token)) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-audience"},
        {"iss": "https://another.example"},
        {"exp": None},
        {"nbf": int(time.time()) + 3600},
    ],
    ids=["audience", "issuer", "endless", "too-early"],
)
def test_a_token_with_wrong_claims_is_invalid(
    client: httpx.Client, key: jwk.ECKey, claims: dict[str, Any]
) -> None:
    assert error_of(get_orders(client, tokens.sign(key, **claims))) == (401, "TOKEN_INVALID")


def test_a_token_of_a_forged_key_is_invalid(client: httpx.Client) -> None:
    token = tokens.sign(tokens.new_key("first"))
    assert error_of(get_orders(client, token)) == (401, "TOKEN_INVALID")


def test_a_token_of_an_unknown_key_is_invalid(client: httpx.Client) -> None:
    token = tokens.sign(tokens.new_key("unknown"))
    assert error_of(get_orders(client, token)) == (401, "TOKEN_INVALID")


def test_a_token_with_changed_claims_is_invalid(client: httpx.Client, key: jwk.ECKey) -> None:
    head, _, signature = tokens.sign(key).split(".")
    _, claims, _ = tokens.sign(key, role="admin").split(".")
    assert error_of(get_orders(client, f"{head}.{claims}.{signature}")) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize("token", ["abc", "a.b.c", "..", "%"])
def test_a_malformed_token_is_invalid(client: httpx.Client, token: str) -> None:
    assert error_of(get_orders(client, token)) == (401, "TOKEN_INVALID")


def test_a_token_without_a_signature_is_invalid(client: httpx.Client, key: jwk.ECKey) -> None:
    _, claims, _ = tokens.sign(key).split(".")
    token = f"{_encoded(NO_SIGNATURE)}.{claims}."
    assert error_of(get_orders(client, token)) == (401, "TOKEN_INVALID")


def test_a_token_signed_with_the_public_key_as_secret_is_invalid(
    client: httpx.Client, key: jwk.ECKey
) -> None:
    secret = key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, claims, _ = tokens.sign(key).split(".")
    signed = f"{_encoded(SHARED_SECRET)}.{claims}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    answer = get_orders(client, f"{signed}.{_encoded(signature)}")
    assert error_of(answer) == (401, "TOKEN_INVALID")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_small_clock_difference_is_tolerated(client: httpx.Client, key: jwk.ECKey) -> None:
    token = tokens.sign(key, exp=int(time.time()) - 2)
    assert get_orders(client, token).status_code == 200


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/api/products"),
        ("GET", "/api/products/?limit=2"),
        ("GET", "/api/products/prod_001"),
        ("POST", "/api/products/check-stock"),
        ("POST", "/api/users/login"),
        ("POST", "/api/users/register"),
        ("GET", "/.well-known/jwks.json"),
    ],
)
def test_a_public_method_needs_no_token(client: httpx.Client, verb: str, path: str) -> None:
    assert client.request(verb, path).status_code == 200


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/api/users/login"),
        ("GET", "/api//users/1"),
        ("GET", "/api/products/../users/1"),
        ("POST", "/api/products"),
        ("PUT", "/api/products/prod_001"),
        ("PATCH", "/api/products/prod_001/inventory"),
        ("POST", "/api/orders"),
        ("POST", "/api/promotions/validate"),
    ],
)
def test_any_other_path_needs_a_token(client: httpx.Client, verb: str, path: str) -> None:
    assert error_of(client.request(verb, path)) == (401, "NOT_SIGNED_IN")


class TestRotation:
    """The users service changes its keys; valid tokens stay valid."""

    @pytest.fixture
    def rotating(self, key: jwk.ECKey) -> Iterator[FakeShop]:
        shop = FakeShop(jwks=tokens.published(key))
        yield shop
        shop.close()

    @pytest.fixture
    def envoy(self, tmp_path: Path, rotating: FakeShop, key: jwk.ECKey) -> Iterator[Envoy]:
        control_plane, port = StaticControlPlane(), rotating.open()
        control_plane.set_instances("users", port)
        envoy = Envoy(
            tmp_path,
            xds_port=control_plane.port,
            jwks_cache_seconds=1,
            rate_limit_per_minute=100_000,
        )
        eventually(lambda: has_keys(envoy, key))
        yield envoy
        envoy.stop()
        control_plane.close()

    def test_a_new_key_is_accepted_once_it_is_published_for_the_cache_duration(
        self, envoy: Envoy, rotating: FakeShop, key: jwk.ECKey
    ) -> None:
        new = tokens.new_key("second")
        rotating.jwks = tokens.published(key, new)
        fetched = len(rotating.calls_of("GetJwks"))

        def served_while_waiting() -> bool:
            assert has_keys(envoy, key), "a valid token was rejected"
            return len(rotating.calls_of("GetJwks")) > fetched + 1

        eventually(served_while_waiting)
        assert has_keys(envoy, new)
        assert has_keys(envoy, key)

    def test_a_removed_key_is_no_longer_accepted(
        self, envoy: Envoy, rotating: FakeShop, key: jwk.ECKey
    ) -> None:
        rotating.jwks = tokens.published(tokens.new_key("second"))
        eventually(lambda: not has_keys(envoy, key))

    def test_tokens_are_unverifiable_not_invalid_without_fresh_keys(
        self, envoy: Envoy, rotating: FakeShop, key: jwk.ECKey
    ) -> None:
        rotating.jwks = b""
        eventually(lambda: not has_keys(envoy, key))
        answer = httpx.get(f"{envoy.http}/api/orders", headers=tokens.bearer(tokens.sign(key)))
        assert error_of(answer) == (503, "SERVICE_UNAVAILABLE")
        rotating.jwks = tokens.published(key)
        eventually(lambda: has_keys(envoy, key))
