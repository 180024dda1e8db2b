"""What nobody outside may say, override or reach."""

import grpc
import httpx
import pytest
from google.protobuf import empty_pb2
from joserfc import jwk

from scripts.paths import DESCRIPTORS
from scripts.protos import methods
from tests.edge import grpc_web, tokens
from tests.edge.envelope import reason_of
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop

pytestmark = pytest.mark.integration

NOT_OURS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)
HIDDEN = (*methods.internal_methods(DESCRIPTORS), *NOT_OURS)


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


@pytest.mark.parametrize("header", ["x_user_id", "X_User_Role", "x-user_id"])
def test_a_look_alike_is_refused(client: httpx.Client, header: str) -> None:
    answer = client.get("/api/products", headers={header: "forged"})
    assert reason_of(answer) == (400, "MALFORMED_HTTP")


def test_a_token_wins_over_what_a_client_says_about_itself(
    alice: httpx.Client, shop: FakeShop
) -> None:
    headers = {"x-user-id": "somebody-else", "x-user-role": "admin"}
    assert alice.get("/api/orders/mine", headers=headers).status_code == 200
    (call,) = shop.calls_of("GetOrder", id="mine")
    assert call.metadata["x-user-id"] == tokens.ALICE
    assert call.metadata["x-user-role"] == "customer"


def test_a_request_id_from_outside_is_replaced(client: httpx.Client, shop: FakeShop) -> None:
    answer = client.get("/api/products/traced", headers={"x-request-id": "mine"})
    (call,) = shop.calls_of("GetProduct", id="traced")
    assert "mine" != answer.headers["x-request-id"] == call.metadata["x-request-id"]


@pytest.mark.parametrize(
    "query", ["id=2", "id=2&id=3", "Id=2", "%69d=2", "page=1&i%64=2", "&%69%64=2", "?%69d=2"]
)
def test_a_query_cannot_override_the_path(alice: httpx.Client, shop: FakeShop, query: str) -> None:
    before = len(shop.calls)
    alice.get(f"/api/orders/path?{query}")
    alice.put(f"/api/users/path?{query}", json={"firstName": "A"})
    assert {call.request.id for call in shop.calls[before:]} <= {"path"}


def test_a_name_in_a_query_may_not_be_escaped(client: httpx.Client) -> None:
    assert reason_of(client.get("/api/products?%70age=1")) == (400, "MALFORMED_REQUEST")


def test_a_value_in_a_query_may_be(client: httpx.Client, shop: FakeShop) -> None:
    assert client.get("/api/products?q=50%25?%20%26&page=1").status_code == 200
    assert shop.calls[-1].request.q == "50%? &"


def test_a_body_cannot_override_the_path(alice: httpx.Client, shop: FakeShop) -> None:
    before = len(shop.calls)
    alice.put("/api/users/path", json={"id": "2", "firstName": "A"})
    assert {call.request.id for call in shop.calls[before:]} <= {"path"}


def test_every_internal_method_is_looked_at() -> None:
    services = {path.split("/")[1] for path in HIDDEN}
    assert {"mamie_rosa.CatalogService", "mamie_rosa.catalog.internal.v1.CatalogService"} < services


@pytest.mark.parametrize("path", HIDDEN)
def test_what_is_internal_is_not_there_for_grpc(
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
def test_what_is_internal_is_not_there_for_browsers(alice: httpx.Client, path: str) -> None:
    answer = grpc_web.call(alice, path, empty_pb2.Empty())
    assert answer.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert reason_of(alice.post(path, json={})) == (404, "UNKNOWN_PATH")


def test_the_content_type_of_grpc_opens_no_rest_path(alice: httpx.Client) -> None:
    answer = alice.get("/api/orders/1", headers={"content-type": "application/grpc"})
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNIMPLEMENTED.value[0])


def test_how_we_are_built_is_not_told(client: httpx.Client) -> None:
    headers = client.get("/api/products/1").headers
    assert headers["server"] == "mamie-rosa"
    assert not [name for name in headers if name.startswith(("x-envoy", "grpc-", "x-http"))]


@pytest.mark.parametrize("page", ["/ready", "/clusters", "/config_dump", "/stats/prometheus"])
def test_the_admin_pages_can_be_read(edge: Envoy, page: str) -> None:
    assert httpx.get(edge.admin + page).status_code == 200


@pytest.mark.parametrize(
    "page", ["/quitquitquit", "/drain_listeners", "/logging?level=trace", "/runtime_modify?a=b"]
)
def test_no_admin_page_changes_the_process(edge: Envoy, page: str) -> None:
    assert httpx.post(edge.admin + page).status_code == 403
    assert httpx.get(edge.admin + "/ready").status_code == 200
