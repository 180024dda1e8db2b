"""What services receive of a request, and what is rejected before them."""

import grpc
import httpx
import pytest
from joserfc import jwk

from tests.edge import tokens
from tests.edge.conftest import has_keys
from tests.edge.control_plane import StaticControlPlane
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

RECEIVED = {
    *("accept-language", "content-type", "grpc-accept-encoding", "grpc-encoding", "grpc-timeout"),
    *("idempotency-key", "last-event-id", "te", "traceparent", "user-agent"),
    *("x-client-address", "x-envoy-original-method", "x-envoy-original-path", "x-forwarded-for"),
    *("authorization", "x-forwarded-proto", "x-request-id"),
}
"""All headers that a service may receive."""


# Headers ---------------------------------------------------------------------------------


def test_a_service_receives_only_known_headers(signed_in: httpx.Client, shop: FakeShop) -> None:
    sent = {"cookie": "a=b", "x-any": "1", "accept-language": "fr", "x-anything-bin": "AAAA"}
    assert signed_in.get("/api/orders/1", headers=sent).status_code == 200
    received = shop.calls[-1].metadata
    assert set(received) <= RECEIVED
    assert received["accept-language"] == "fr"


@pytest.mark.parametrize("size", [8_000, 12_000, 15_000])
def test_large_cookies_of_other_programs_do_not_reach_services(
    signed_in: httpx.Client, size: int
) -> None:
    codes = {
        signed_in.get("/api/orders/1", headers={"cookie": f"c={'x' * size}"}).status_code
        for _ in range(10)
    }
    assert codes == {200}


@pytest.mark.parametrize("name", ["x-any-bin", "grpc-trace-bin", "grpc-tags-bin", "x-bin"])
def test_a_header_that_grpc_reads_as_binary_is_dropped(
    signed_in: httpx.Client, shop: FakeShop, name: str
) -> None:
    assert signed_in.get("/api/orders/1", headers={name: "$$$"}).status_code == 200
    assert name not in shop.calls[-1].metadata


@pytest.mark.parametrize("name", ["idempotency-key", "last-event-id"])
@pytest.mark.parametrize("value", ["caf\u00e9", "\u00ff", "a\tb"])
def test_a_decisive_header_must_be_printable_ascii(
    signed_in: httpx.Client, shop: FakeShop, name: str, value: str
) -> None:
    before = len(shop.calls)
    answer = signed_in.get("/api/orders/1", headers={name.encode(): value.encode("latin-1")})
    assert error_of(answer) == (400, "MALFORMED_REQUEST")
    assert len(shop.calls) == before


def test_another_header_that_is_not_ascii_is_dropped(
    signed_in: httpx.Client, shop: FakeShop
) -> None:
    sent = {b"accept-language": "fran\u00e7ais".encode("latin-1")}
    assert signed_in.get("/api/orders/1", headers=sent).status_code == 200
    assert "accept-language" not in shop.calls[-1].metadata


def test_the_address_of_a_client_is_the_edges_word(client: httpx.Client, shop: FakeShop) -> None:
    sent = {"x-client-address": "203.0.113.9"}
    assert client.post("/api/users/login", json={}, headers=sent).status_code == 200
    address = shop.calls[-1].metadata["x-client-address"]
    assert address.startswith("127.0.") and "," not in address


# Errors of the gRPC library --------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("INTERNAL", (500, "INTERNAL")),
        ("UNKNOWN", (500, "INTERNAL")),
        ("DATA_LOSS", (500, "INTERNAL")),
        ("UNIMPLEMENTED", (501, "UNKNOWN_PATH")),
        ("RESOURCE_EXHAUSTED", (429, "OVERLOADED")),
        ("UNAVAILABLE", (503, "SERVICE_UNAVAILABLE")),
        ("DEADLINE_EXCEEDED", (504, "DEADLINE_EXCEEDED")),
        ("INVALID_ARGUMENT", (400, "MALFORMED_REQUEST")),
    ],
)
def test_an_error_without_details_gets_the_common_shape(
    signed_in: httpx.Client, code: str, answer: tuple[int, str]
) -> None:
    for path in (f"/api/orders/bare-{code}", f"/api/products/bare-{code}"):
        assert error_of(signed_in.get(path)) == answer


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
def test_a_grpc_client_sees_no_internals_in_an_error_without_details(
    edge: Envoy, key: jwk.ECKey, code: str
) -> None:
    error = _call(edge, key, b"\x0a" + bytes([len(code) + 5]) + f"bare-{code}".encode())
    assert "10.1.2.3" not in (error.details() or "")
    assert "grpc-status-details-bin" in [each.key for each in error.trailing_metadata() or ()]


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff", b"\x08"])
def test_a_message_that_cannot_be_read_is_malformed_for_grpc(
    edge: Envoy, key: jwk.ECKey, body: bytes
) -> None:
    error = _call(edge, key, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "eserializ" not in (error.details() or "")


def _call(edge: Envoy, key: jwk.ECKey, body: bytes) -> grpc.RpcError:
    """Call GetOrder with these bytes; return the error."""
    headers = tuple(tokens.bearer(tokens.sign(key)).items())
    with grpc.insecure_channel(edge.address) as channel:
        call: grpc.UnaryUnaryMultiCallable = channel.unary_unary(
            "/mamie_rosa.orders.v1.OrdersService/GetOrder"
        )
        with pytest.raises(grpc.RpcError) as raised:
            call(body, metadata=headers, timeout=5)
    return raised.value


# Paths and queries -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "escaped",
    [
        *("%FF", "%80", "%C3", "%C3%28", "%00"),
        *("%C0%80", "%E0%80%80", "%F0%80%80%80"),  # longer than it has to be
        *("%ED%A0%80", "%ED%BF%BF"),  # surrogates
        *("%F4%90%80%80", "%F5%80%80%80", "%FE"),  # beyond Unicode
    ],
)
def test_bytes_that_are_not_utf_8_are_malformed(
    client: httpx.Client, shop: FakeShop, escaped: str
) -> None:
    before = len(shop.calls)
    assert error_of(client.get(f"/api/products?q={escaped}")) == (400, "MALFORMED_REQUEST")
    assert client.get(f"/api/products/{escaped}").status_code == 400
    assert len(shop.calls) == before


@pytest.mark.parametrize(
    "text", ["p\u00e2t\u00e9e", "\u20ac", "\ud7ff\ue000", "\U0001f436", "\U0010ffff"]
)
def test_every_other_text_reaches_the_service(
    client: httpx.Client, shop: FakeShop, text: str
) -> None:
    assert client.get("/api/products", params={"q": text}).status_code == 200
    assert shop.calls[-1].request.q == text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("chat+adulte", "chat adulte"),
        ("chat%20adulte", "chat adulte"),
        ("c%2B%2B", "c++"),
        ("+", " "),
    ],
)
def test_a_plus_sign_in_a_query_is_a_blank(
    client: httpx.Client, shop: FakeShop, query: str, text: str
) -> None:
    assert client.get(f"/api/products?q={query}").status_code == 200
    assert shop.calls[-1].request.q == text


# Methods and schemes ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "TRACE"])
def test_a_method_that_is_not_served_is_named_with_those_that_are(
    client: httpx.Client, method: str
) -> None:
    for path in ("/api/products", "/api/orders/1"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]
        if method != "HEAD":
            assert error_of(answer) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_of_a_token_has_no_case(
    client: httpx.Client, key: jwk.ECKey, scheme: str
) -> None:
    headers = {"authorization": f"{scheme} {tokens.sign(key)}"}
    assert client.get("/api/orders/1", headers=headers).status_code == 200


# Public keys -----------------------------------------------------------------------------


def test_the_public_keys_are_fetched_in_the_background(
    tmp_path_factory: pytest.TempPathFactory,
    control_plane: StaticControlPlane,
    key: jwk.ECKey,
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    envoy = Envoy(folder, xds_port=control_plane.port, jwks_cache_seconds=6)
    try:
        eventually(lambda: has_keys(envoy, key))
        fetched, failed = _fetches(envoy)
        eventually(lambda: _fetches(envoy)[0] >= fetched + 2, seconds=20)
        assert _fetches(envoy)[1] == failed
    finally:
        envoy.stop()


def _fetches(envoy: Envoy) -> tuple[int, int]:
    """Return how many fetches have succeeded and failed."""
    names = ("jwks_fetch_success", "jwks_fetch_failed")
    succeeded, failed = (envoy.statistic(f"http.edge.jwt_authn.{name}") for name in names)
    return succeeded, failed
