"""The client of the orders service, against a real gRPC server."""

import grpc
import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc
from typing_extensions import override

from services.catalog.purchases import OrdersUnavailableError, PurchasesOverGrpc
from services.common.mesh.channels import open_channel
from services.common.rpc.server import GrpcServer, ServiceBinding

pytestmark = pytest.mark.integration


class Orders(orders_pb2_grpc.OrdersServiceServicer):
    """Alice has bought one product."""

    @override
    def VerifyPurchase(
        self, request: orders_pb2.VerifyPurchaseRequest, context: grpc.ServicerContext
    ) -> orders_pb2.VerifyPurchaseResponse:
        bought = (request.user_id, request.product_id) == ("alice", "kibble")
        return orders_pb2.VerifyPurchaseResponse(has_bought=bought)


@pytest.fixture
def port():
    add = orders_pb2_grpc.add_OrdersServiceServicer_to_server
    server = GrpcServer(
        bindings=[ServiceBinding("mamie_rosa.orders.internal.v1.OrdersService", Orders(), add)],
        host="127.0.0.1",
        port=0,
        worker_threads=1,
        queue_limit=8,
    )
    server.start()
    yield server.port
    server.stop(0)


def test_a_purchase_is_verified_by_customer_and_product(port):
    with open_channel(f"127.0.0.1:{port}") as channel:
        purchases = PurchasesOverGrpc(channel)
        assert purchases.has_bought("alice", "kibble")
        assert not purchases.has_bought("alice", "bone")
        assert not purchases.has_bought("bob", "kibble")


def test_unavailable_orders_raise_orders_unavailable():
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(OrdersUnavailableError):
        PurchasesOverGrpc(channel).has_bought("alice", "kibble")
