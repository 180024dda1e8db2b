"""Identities, paths and methods that requests from outside cannot forge or reach."""

import grpc
import httpx
import pytest
from google.protobuf import empty_pb2
from joserfc import jwk

from scripts.paths import DESCRIPTORS
from scripts.protos import methods
from tests.edge import grpc_web, tokens
from tests.edge.envelope import error_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop

pytestmark = pytest.mark.integration

INFRASTRUCTURE = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)
HIDDEN = (*methods.internal_methods(DESCRIPTORS), *INFRASTRUCTURE)


@pytest.mark.parametrize(
    "header",
    ["x-user-id", "X-User-Role", "x-user-anything", "x-envoy-original-path", "x-http-code"],
)
def test_identity_from_outside_is_dropped(
    client: httpx.Client, shop: FakeShop, header: str
) -> None:
    product = f"dropped-{header}"
    answer = client.get(f"/api/products/{product}", headers={header: "forged"})
    assert answer.status_code == 200
    (call,) = shop.calls_of("GetProduct", id=product)
    assert "forged" not in call.metadata.values()


def test_services_get_the_address_of_the_connection_not_a_forged_one(
    client: httpx.Client, shop: FakeShop
) -> None:
    headers = {"x-client-address": "forged", "x-forwarded-for": "203.0.113.9"}
    assert client.post("/api/users/login", json={}, headers=headers).status_code == 200
    call = shop.calls[-1]
    assert call.metadata["x-client-address"].startswith("127.0.")


@pytest.mark.parametrize("header", ["x_user_id", "X_User_Role", "x-user_id"])
def test_a_header_with_underscores_is_rejected(client: httpx.Client, header: str) -> None:
    answer = client.get("/api/products", headers={header: "forged"})
    assert error_of(answer) == (400, "MALFORMED_HTTP")


def test_no_service_gets_identity_headers(signed_in: httpx.Client, shop: FakeShop) -> None:
    headers = {"x-user-id": "another-user", "x-user-role": "admin"}
    assert signed_in.get("/api/orders/mine", headers=headers).status_code == 200
    (call,) = shop.calls_of("GetOrder", id="mine")
    assert [name for name in call.metadata if name.startswith("x-user-")] == []


def test_a_request_id_from_outside_is_replaced(client: httpx.Client, shop: FakeShop) -> None:
    answer = client.get("/api/products/traced", headers={"x-request-id": "mine"})
    (call,) = shop.calls_of("GetProduct", id="traced")
    assert "mine" != answer.headers["x-request-id"] == call.metadata["x-request-id"]


@pytest.mark.parametrize(
    "query", ["id=2", "id=2&id=3", "Id=2", "%69d=2", "page=1&i%64=2", "&%69%64=2", "?%69d=2"]
)
def test_a_query_cannot_override_the_path(
    signed_in: httpx.Client, shop: FakeShop, query: str
) -> None:
    before = len(shop.calls)
    signed_in.get(f"/api/orders/path?{query}")
    signed_in.put(f"/api/users/path?{query}", json={"firstName": "A"})
    assert {call.request.id for call in shop.calls[before:]} <= {"path"}


def test_a_parameter_name_must_not_be_escaped(client: httpx.Client) -> None:
    assert error_of(client.get("/api/products?%70age=1")) == (400, "MALFORMED_REQUEST")


def test_a_parameter_value_may_be_escaped(client: httpx.Client, shop: FakeShop) -> None:
    assert client.get("/api/products?q=50%25?%20%26&page=1").status_code == 200
    assert shop.calls[-1].request.q == "50%? &"


def test_a_body_cannot_override_the_path(signed_in: httpx.Client, shop: FakeShop) -> None:
    before = len(shop.calls)
    signed_in.put("/api/users/path", json={"id": "2", "firstName": "A"})
    assert {call.request.id for call in shop.calls[before:]} <= {"path"}


def test_the_internal_methods_include_both_catalog_contracts() -> None:
    services = {path.split("/")[1] for path in HIDDEN}
    assert {"mamie_rosa.CatalogService", "mamie_rosa.catalog.internal.v1.CatalogService"} < services


@pytest.mark.parametrize("path", HIDDEN)
def test_an_internal_method_is_unimplemented_for_grpc(
    edge: Envoy, shop: FakeShop, key: jwk.ECKey, path: str
) -> None:
    before = len(shop.calls)
    headers = tuple(tokens.bearer(tokens.sign(key)).items())
    with grpc.insecure_channel(edge.address) as channel:
        call: grpc.UnaryUnaryMultiCallable = channel.unary_unary(
            path, empty_pb2.Empty.SerializeToString
        )
        with pytest.raises(grpc.RpcError) as raised:
            call(empty_pb2.Empty(), metadata=headers)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not [call for call in shop.calls[before:] if call.method == path]


@pytest.mark.parametrize("path", HIDDEN)
def test_an_internal_method_is_unimplemented_for_grpc_web(
    signed_in: httpx.Client, path: str
) -> None:
    answer = grpc_web.call(signed_in, path, empty_pb2.Empty())
    assert answer.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert error_of(signed_in.post(path, json={})) == (404, "UNKNOWN_PATH")


def test_a_rest_path_is_unimplemented_for_grpc(signed_in: httpx.Client) -> None:
    answer = signed_in.get("/api/orders/1", headers={"content-type": "application/grpc"})
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNIMPLEMENTED.value[0])


def test_response_headers_do_not_name_internals(client: httpx.Client) -> None:
    headers = client.get("/api/products/1").headers
    assert headers["server"] == "mamie-rosa"
    assert not [name for name in headers if name.startswith(("x-envoy", "grpc-", "x-http"))]


@pytest.mark.parametrize("page", ["/ready", "/clusters", "/config_dump", "/stats/prometheus"])
def test_admin_pages_can_be_read(edge: Envoy, page: str) -> None:
    assert httpx.get(edge.admin + page).status_code == 200


@pytest.mark.parametrize(
    "page", ["/quitquitquit", "/drain_listeners", "/logging?level=trace", "/runtime_modify?a=b"]
)
def test_no_admin_page_changes_the_process(edge: Envoy, page: str) -> None:
    assert httpx.post(edge.admin + page).status_code == 403
    assert httpx.get(edge.admin + "/ready").status_code == 200
