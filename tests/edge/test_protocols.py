"""Protocols of the edge: HTTP/1.1, HTTP/2, HTTPS, gRPC, compression, CORS."""

import socket
import ssl
from collections.abc import Iterator

import grpc
import httpx
import pytest
from mamie_rosa.catalog.v1 import catalog_pb2, catalog_pb2_grpc

from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy

pytestmark = pytest.mark.integration

PAGE = {"origin": "http://localhost:3000"}
FOREIGN_PAGE = {"origin": "https://somewhere.example"}
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}


@pytest.fixture
def trust(edge: Envoy) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(edge.certificate))


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def secure(edge: Envoy, trust: ssl.SSLContext, request) -> Iterator[tuple[httpx.Client, str]]:
    with httpx.Client(base_url=edge.https, verify=trust, http2=request.param == "HTTP/2") as client:
        yield client, request.param


def test_https_serves_both_http_versions(secure: tuple[httpx.Client, str]) -> None:
    client, version = secure
    answer = client.get("/api/products/1")
    assert (answer.status_code, answer.http_version) == (200, version)


def test_errors_over_https_have_the_common_shape(secure: tuple[httpx.Client, str]) -> None:
    client, _ = secure
    assert error_of(client.get("/api/orders")) == (401, "NOT_SIGNED_IN")


def test_http_2_is_served_without_tls(edge: Envoy) -> None:
    with httpx.Client(base_url=edge.http, http1=False, http2=True) as client:
        answer = client.get("/api/products/created")
    assert (answer.status_code, answer.http_version) == (201, "HTTP/2")


def test_tls_is_1_2_or_newer(edge: Envoy, trust: ssl.SSLContext) -> None:
    host, port = edge.https.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port))) as connection,
        trust.wrap_socket(connection, server_hostname=host) as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_grpc_is_served_on_the_same_ports(edge: Envoy, tls: bool) -> None:
    request = catalog_pb2.GetProductRequest(id="big")
    with _channel(edge, tls) as channel:
        product = catalog_pb2_grpc.CatalogServiceStub(channel).GetProduct(request)
    assert product.product_id == "big"


def _channel(edge: Envoy, tls: bool) -> grpc.Channel:
    if not tls:
        return grpc.insecure_channel(edge.address)
    trusted = grpc.ssl_channel_credentials(edge.certificate.read_bytes())
    return grpc.secure_channel(edge.https.removeprefix("https://"), trusted)


def test_a_large_answer_is_compressed(client: httpx.Client) -> None:
    answer = client.get("/api/products/big", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["productId"] == "big"
    assert answer.num_bytes_downloaded < len(answer.content) / 10


def test_a_small_answer_is_not_compressed(client: httpx.Client) -> None:
    answer = client.get("/api/products/small", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_an_answer_is_compressed_only_when_the_client_accepts_it(client: httpx.Client) -> None:
    answer = client.get("/api/products/big", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/api/orders", "/api/products/1", "/api/users/login"])
def test_the_preflight_of_an_allowed_page_is_answered(client: httpx.Client, path: str) -> None:
    answer = client.options(path, headers=PAGE | PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]


def test_an_allowed_page_may_read_answers_and_errors(client: httpx.Client) -> None:
    for path in ("/api/products/1", "/api/orders", "/nothing", "/api/products?bogus=1"):
        headers = client.get(path, headers=PAGE).headers
        assert headers["access-control-allow-origin"] == PAGE["origin"], path
        assert "x-request-id" in headers["access-control-expose-headers"]


def test_a_foreign_page_is_not_allowed(client: httpx.Client) -> None:
    preflight = client.options("/api/orders", headers=FOREIGN_PAGE | PREFLIGHT)
    assert preflight.status_code == 404
    for answer in (preflight, client.get("/api/products/1", headers=FOREIGN_PAGE)):
        assert "access-control-allow-origin" not in answer.headers
