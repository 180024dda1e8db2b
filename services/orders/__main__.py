"""The orders service: `python -m services.orders [serve | migrate]`."""

from functools import partial

from mamie_rosa.orders.v1 import orders_pb2_grpc

from services.common import runtime
from services.common.breaker import CircuitBreaker
from services.common.mesh import Mesh
from services.common.relay import OutboxRelay
from services.common.server import Servicer
from services.orders.checkout import Checkout
from services.orders.clients import CatalogOverGrpc, PaymentsOverGrpc, PromotionsOverGrpc
from services.orders.config import OrdersConfig, read_config
from services.orders.outbox_repository import MongoOutbox
from services.orders.repository import MongoOrdersRepository, connect
from services.orders.repository import migrate as make_indexes
from services.orders.saga import Saga, Steps
from services.orders.servicer import OrdersServicer


def serve(config: OrdersConfig) -> None:
    """Wire the service and serve until told to stop."""
    client = connect(config.store_url)
    repository = MongoOrdersRepository(client)
    mesh = Mesh(xds_servers=config.service.xds_servers, node_id=config.service.instance)
    catalog = CatalogOverGrpc(mesh.channel("catalog"))
    promotions = PromotionsOverGrpc(mesh.channel("promotions"))
    payments = PaymentsOverGrpc(mesh.channel("payments", CircuitBreaker()))
    steps = Steps(catalog=catalog, promotions=promotions, payments=payments, sagas=repository)
    saga = Saga(orders=repository, sagas=repository, steps=steps, instance=config.service.instance)
    checkout = Checkout(
        repository=repository,
        catalog=catalog,
        promotions=promotions,
        saga=saga,
        hold_seconds=config.stock_hold_seconds,
    )
    servicer = OrdersServicer(repository=repository, checkout=checkout, saga=saga)
    runtime.serve(
        name="orders",
        config=config.service,
        servicers=[
            Servicer(
                "mamie_rosa.orders.v1.OrdersService",
                servicer,
                orders_pb2_grpc.add_OrdersServiceServicer_to_server,
            )
        ],
        checks={"mongodb": repository.ping},
        workers=[
            saga,
            OutboxRelay(outbox=MongoOutbox(client), url=config.service.bus_url, name="orders"),
        ],
    )


def migrate(config: OrdersConfig) -> None:
    """Make the indexes."""
    with connect(config.store_url) as client:
        make_indexes(client)


if __name__ == "__main__":
    config = read_config()
    runtime.main(
        "orders",
        config.service,
        verbs={"serve": partial(serve, config), "migrate": partial(migrate, config)},
    )
