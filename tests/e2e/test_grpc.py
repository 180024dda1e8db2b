"""Instances called past the edge: by grpcurl and by a client of the legacy contract."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

from scripts.stack.client import Stack

pytestmark = pytest.mark.e2e

LEGACY_CONTRACT = """\
syntax = "proto3";

package mamie_rosa;

message StockCheckRequest {
  string product_id = 1;
  int32 quantity = 2;
}

message StockCheckResponse {
  bool available = 1;
  int32 available_quantity = 2;
}

service CatalogService {
  rpc VerifyStock(StockCheckRequest) returns (StockCheckResponse);
}
"""
CALL = """\
import sys, grpc, shop_pb2, shop_pb2_grpc
stub = shop_pb2_grpc.CatalogServiceStub(grpc.insecure_channel(sys.argv[1]))
answer = stub.VerifyStock(shop_pb2.StockCheckRequest(product_id="prod_001", quantity=2), timeout=5)
print(answer.available, answer.available_quantity > 0)
"""


@pytest.fixture
def catalog(stack: Stack) -> str:
    """Return the address of one catalog instance."""
    return stack.address("catalog-1")


def grpcurl(*arguments: str) -> str:
    program = Path(sys.executable).with_name("grpcurl")
    command = [str(program), "-plaintext", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_grpcurl_lists_the_services_of_an_instance(catalog):
    assert grpcurl(catalog, "list").split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "mamie_rosa.CatalogService",
        "mamie_rosa.catalog.internal.v1.CatalogService",
        "mamie_rosa.catalog.v1.CatalogService",
    ]


def test_grpcurl_calls_an_internal_method(catalog):
    request = json.dumps({"product_id": "prod_001", "quantity": 1})
    method = "mamie_rosa.catalog.internal.v1.CatalogService/VerifyStock"
    answer = json.loads(grpcurl("-d", request, catalog, method))
    assert (answer["available"], answer["unit_price"]) == (True, "12.90")


def test_a_client_compiled_from_the_legacy_contract_is_answered(catalog, tmp_path):
    (tmp_path / "shop.proto").write_text(LEGACY_CONTRACT)
    out = [f"-I{tmp_path}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    assert protoc.main(["protoc", *out, "shop.proto"]) == 0
    command = [sys.executable, "-c", CALL, catalog]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]


def test_every_instance_is_healthy_under_the_name_of_its_service(stack):
    for service in ("users", "catalog", "orders", "promotions"):
        for instance in stack.instances(service):
            name = json.dumps({"service": f"mamie_rosa.{service}.v1.{service.title()}Service"})
            method = "grpc.health.v1.Health/Check"
            answer = json.loads(grpcurl("-d", name, stack.address(instance), method))
            assert answer == {"status": "SERVING"}


@pytest.mark.parametrize(
    "method",
    [
        "/mamie_rosa.CatalogService/VerifyStock",
        "/mamie_rosa.catalog.internal.v1.CatalogService/ReserveStock",
        "/mamie_rosa.payments.internal.v1.PaymentsService/RefundPayment",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_an_internal_method_is_unimplemented_at_the_edge(shop, customer, method):
    with grpc.insecure_channel(shop.url.removeprefix("http://")) as channel:
        call: Any = channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5, metadata=[("authorization", f"Bearer {customer.token}")])
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
