"""One shape for all errors, of the edge and of services."""

import socket
from collections.abc import Iterable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from joserfc import jwk
from mamie_rosa.catalog.v1 import catalog_pb2
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc

from tests.edge import grpc_web, tokens
from tests.edge.conftest import SetInstances
from tests.edge.control_plane import StaticControlPlane
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

MEBIBYTE = 1 << 20
CHECK_STOCK = "/api/products/check-stock"
GET_ORDER = "/mamie_rosa.orders.v1.OrdersService/GetOrder"


@pytest.mark.parametrize(
    "body",
    ["{bad", '{"items": [', "[1]", '{"items": 3}', '{"items": [{"quantity": "many"}]}'],
)
def test_an_invalid_body_is_malformed(client: httpx.Client, body: str) -> None:
    answer = client.post(CHECK_STOCK, content=body)
    assert error_of(answer) == (400, "MALFORMED_REQUEST")
    assert answer.json()["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize("query", ["bogus=1", "page=x", "page=1.5", "page=99999999999"])
def test_an_invalid_query_is_malformed(client: httpx.Client, query: str) -> None:
    assert error_of(client.get(f"/api/products?{query}")) == (400, "MALFORMED_REQUEST")


def test_the_invalid_field_is_named(client: httpx.Client) -> None:
    answer = client.post(CHECK_STOCK, json={"items": [{"productId": "a", "quantity": "many"}]})
    assert "items[0].quantity" in answer.json()["message"]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/index.html"),
        ("GET", "/api"),
        ("GET", "/api/unknown"),
        ("DELETE", "/api/products/prod_001"),
        ("POST", GET_ORDER),
    ],
)
def test_an_unknown_path_or_method_is_not_found(
    signed_in: httpx.Client, verb: str, path: str
) -> None:
    assert error_of(signed_in.request(verb, path)) == (404, "UNKNOWN_PATH")


def test_a_body_of_exactly_one_mebibyte_is_accepted(client: httpx.Client) -> None:
    assert client.post(CHECK_STOCK, content=b"{}".ljust(MEBIBYTE)).status_code == 200


def test_a_larger_body_is_rejected(client: httpx.Client) -> None:
    answer = client.post(CHECK_STOCK, content=b"{}".ljust(MEBIBYTE + 1))
    assert error_of(answer) == (413, "BODY_TOO_LARGE")


def test_a_larger_chunked_body_is_rejected(client: httpx.Client) -> None:
    pieces = (b" " * 65536 for _ in range(17))
    assert error_of(client.post(CHECK_STOCK, content=pieces)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("headers", [{"x-big": "x" * 20_000}, {f"x-{n}": "" for n in range(70)}])
def test_headers_that_are_too_large_or_too_many_are_rejected(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    assert error_of(client.get("/api/products", headers=headers)) == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GARBAGE\r\n\r\n", 400),
        ("GET /api/products HTTP/1.1\r\n\r\n", 400),
        ("GET /api/products HTTP/1.0\r\nHost: x\r\n\r\n", 426),
        ("GET /api/products#top HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /api/products/a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 403),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ],
)
def test_malformed_http_is_rejected(edge: Envoy, request_text: str, status: int) -> None:
    assert error_of(send(edge, request_text)) == (status, "MALFORMED_HTTP")


def send(edge: Envoy, request_text: str) -> httpx.Response:
    """Send a raw request."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=5) as connection:
        connection.sendall(request_text.encode())
        answer = HTTPResponse(connection)
        answer.begin()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def test_a_service_without_instances_is_unavailable(
    signed_in: httpx.Client, set_instances: SetInstances
) -> None:
    set_instances("orders")
    assert error_of(signed_in.get("/api/orders/1")) == (503, "SERVICE_UNAVAILABLE")


def test_a_service_whose_port_is_closed_is_unavailable(
    signed_in: httpx.Client, set_instances: SetInstances
) -> None:
    set_instances("orders", 1)
    assert error_of(signed_in.get("/api/orders/1")) == (503, "SERVICE_UNAVAILABLE")


def test_an_answer_that_is_too_large_is_an_internal_error(signed_in: httpx.Client) -> None:
    answer = signed_in.get("/api/products/huge")
    assert error_of(answer) == (500, "INTERNAL")
    assert answer.headers["x-request-id"] in answer.json()["message"]


@pytest.mark.parametrize(
    ("scenario", "status", "reason"),
    [
        ("missing", 404, "PRODUCT_NOT_FOUND"),
        ("conflict", 409, "CONFLICT"),
        ("unprocessable", 422, "OUT_OF_STOCK"),
        ("unavailable", 503, "STORE_UNAVAILABLE"),
    ],
)
def test_errors_of_services_have_the_same_shape(
    signed_in: httpx.Client, scenario: str, status: int, reason: str
) -> None:
    answer = signed_in.get(f"/api/orders/{scenario}")
    assert error_of(answer) == (status, reason)
    assert answer.json()["details"][0]["metadata"] == {"productIds": "prod_001"}


def test_a_created_resource_is_answered_with_201(signed_in: httpx.Client) -> None:
    assert signed_in.post("/api/orders/created/cancel", json={"reason": "x"}).status_code == 201


def trailing_metadata(error: grpc.RpcError) -> dict[str, Any]:
    received: Iterable[Any] = error.trailing_metadata() or ()
    return {key: value for key, value in received}


class TestForGrpcClients:
    """gRPC clients get a status and plain text."""

    @pytest.fixture
    def orders(self, edge: Envoy) -> Iterator[orders_pb2_grpc.OrdersServiceStub]:
        with grpc.insecure_channel(edge.address) as channel:
            yield orders_pb2_grpc.OrdersServiceStub(channel)

    @pytest.fixture
    def credentials(self, key: jwk.ECKey) -> list[tuple[str, str]]:
        return list(tokens.bearer(tokens.sign(key)).items())

    def test_an_answer_passes_unchanged(self, orders, credentials) -> None:
        request = orders_pb2.CancelOrderRequest(id="created", reason="x")
        assert orders.CancelOrder(request, metadata=credentials) == orders_pb2.CancelOrderResponse()

    def test_an_error_of_a_service_passes_unchanged(self, orders, credentials) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            orders.GetOrder(orders_pb2.GetOrderRequest(id="unprocessable"), metadata=credentials)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "x-http-code" not in trailing_metadata(raised.value)

    def test_a_call_without_a_token_is_unauthenticated(self, orders) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            orders.GetOrder(orders_pb2.GetOrderRequest(id="1"))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert raised.value.details() == "Sign in first: send a bearer token."
        assert trailing_metadata(raised.value)["x-request-id"]

    def test_a_large_body_is_an_invalid_argument(self, orders, credentials) -> None:
        request = orders_pb2.CancelOrderRequest(id="1", reason="x" * MEBIBYTE)
        with pytest.raises(grpc.RpcError) as raised:
            orders.CancelOrder(request, metadata=credentials)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.value.details() == "The body is larger than 1 MiB. Send less."

    def test_a_service_without_instances_is_unavailable(
        self, orders, credentials, set_instances: SetInstances
    ) -> None:
        set_instances("orders")
        with pytest.raises(grpc.RpcError) as raised:
            orders.GetOrder(orders_pb2.GetOrderRequest(id="1"), metadata=credentials)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "not available" in str(raised.value.details())


class TestForGrpcWebClients:
    """gRPC-Web clients get the same in their own form."""

    def test_an_answer_arrives(self, client: httpx.Client) -> None:
        request = catalog_pb2.GetProductRequest(id="big")
        answer = grpc_web.call(client, "/mamie_rosa.catalog.v1.CatalogService/GetProduct", request)
        assert answer.status == 0
        assert catalog_pb2.Product.FromString(answer.message).product_id == "big"

    def test_an_error_of_a_service_arrives(self, client: httpx.Client) -> None:
        request = catalog_pb2.GetProductRequest(id="missing")
        path = "/mamie_rosa.catalog.v1.CatalogService/GetProduct"
        answer = grpc_web.call(client, path, request)
        assert answer == grpc_web.WebAnswer(grpc.StatusCode.NOT_FOUND.value[0], "No.")

    def test_an_error_of_the_edge_is_plain_text(self, client: httpx.Client) -> None:
        answer = grpc_web.call(client, GET_ORDER, orders_pb2.GetOrderRequest(id="1"))
        code = grpc.StatusCode.UNAUTHENTICATED.value[0]
        assert answer == grpc_web.WebAnswer(code, "Sign in first: send a bearer token.")


@pytest.fixture(scope="module")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """Yield an edge without services and keys, with short timeouts."""
    control_plane = StaticControlPlane()
    control_plane.set_instances("users")
    envoy = Envoy(
        tmp_path_factory.mktemp("starting"), xds_port=control_plane.port, change=_shorten_timeouts
    )
    yield envoy
    envoy.stop()
    control_plane.close()


def _shorten_timeouts(configuration: dict[str, Any]) -> None:
    for listener in configuration["static_resources"]["listeners"][:2]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager |= {"request_timeout": "0.3s", "request_headers_timeout": "0.3s"}


def test_without_public_keys_tokens_cannot_be_verified(starting: Envoy, key: jwk.ECKey) -> None:
    headers = tokens.bearer(tokens.sign(key))
    answer = httpx.get(f"{starting.http}/api/orders", headers=headers)
    assert error_of(answer) == (503, "SERVICE_UNAVAILABLE")


def test_a_service_that_was_never_discovered_is_unavailable(starting: Envoy) -> None:
    assert error_of(httpx.get(f"{starting.http}/api/products")) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize(
    "unfinished",
    [
        "GET /api/products HTTP/1.1\r\nHost",
        f"POST {CHECK_STOCK} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_an_incomplete_request_times_out(starting: Envoy, unfinished: str) -> None:
    assert error_of(send(starting, unfinished)) == (408, "REQUEST_TIMEOUT")


def test_an_overloaded_edge_rejects_requests_in_the_same_shape(
    tmp_path: Path, control_plane: StaticControlPlane
) -> None:
    envoy = Envoy(tmp_path, xds_port=control_plane.port, change=_shrink_heap)
    try:
        eventually(lambda: httpx.get(f"{envoy.http}/api/products").status_code == 503)
        assert error_of(httpx.get(f"{envoy.http}/api/products")) == (503, "SERVICE_UNAVAILABLE")
    finally:
        envoy.stop()


def _shrink_heap(configuration: dict[str, Any]) -> None:
    heap = configuration["overload_manager"]["resource_monitors"][0]["typed_config"]
    heap["max_heap_size_bytes"] = 1
