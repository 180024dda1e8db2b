"""How the orders service is asked who has bought what."""

import grpc
import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc

from services.catalog.purchases import OrdersUnavailableError, PurchasesOverGrpc
from services.common.mesh.channels import open_channel
from services.common.rpc.server import GrpcServer, ServiceBinding

pytestmark = pytest.mark.integration


class Orders(orders_pb2_grpc.OrdersServiceServicer):
    """Orders of which Alice has bought one product."""

    def VerifyPurchase(self, request, context):
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


def test_orders_tell_who_has_bought_what(port):
    with open_channel(f"127.0.0.1:{port}") as channel:
        purchases = PurchasesOverGrpc(channel)
        assert purchases.has_bought("alice", "kibble")
        assert not purchases.has_bought("alice", "bone")
        assert not purchases.has_bought("bob", "kibble")


def test_orders_that_are_away_are_said_so():
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(OrdersUnavailableError):
        PurchasesOverGrpc(channel).has_bought("alice", "kibble")
