"""The orders service: `python -m services.orders [serve | migrate]`."""

from functools import partial

from mamie_rosa.orders.internal.v1 import orders_pb2_grpc as internal_pb2_grpc
from mamie_rosa.orders.v1 import order_events_pb2_grpc, orders_pb2_grpc

from services.common import runtime
from services.common.breaker import CircuitBreaker
from services.common.mesh import Mesh
from services.common.periodic import PeriodicWorker
from services.common.relay import OutboxRelay
from services.common.server import Servicer
from services.orders.checkout import Checkout
from services.orders.clients import CatalogOverGrpc, PaymentsOverGrpc, PromotionsOverGrpc
from services.orders.config import OrdersConfig, read_config
from services.orders.events_servicer import OrderEventsServicer
from services.orders.feed import OrderFeed
from services.orders.feed_repository import MongoFeedRepository
from services.orders.outbox_repository import MongoOutbox
from services.orders.reconciler import (
    INTERVAL_SECONDS,
    Reconciler,
    ReconciliationTurns,
    Repairs,
)
from services.orders.reconciliation_clients import sources_over
from services.orders.reconciliation_repository import MongoReconciliationRepository
from services.orders.reconciliation_servicer import ReconciliationServicer
from services.orders.repository import MongoOrdersRepository
from services.orders.saga import Saga, Steps
from services.orders.servicer import InternalOrdersServicer, OrdersServicer
from services.orders.store import connect, connect_async
from services.orders.store import migrate as make_indexes


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
    reconciliation = MongoReconciliationRepository(client)
    reconciler = Reconciler(
        sources=[*reconciliation.sources, *sources_over(mesh)],
        repairs=Repairs(
            catalog=catalog, promotions=promotions, payments=payments, repository=reconciliation
        ),
        repository=reconciliation,
    )
    turns = ReconciliationTurns(reconcile=reconciler.reconcile, repository=reconciliation)
    runtime.serve(
        name="orders",
        config=config.service,
        servicers=[
            Servicer(
                "mamie_rosa.orders.v1.OrdersService",
                servicer,
                orders_pb2_grpc.add_OrdersServiceServicer_to_server,
            ),
            Servicer(
                "mamie_rosa.orders.internal.v1.OrdersService",
                InternalOrdersServicer(repository=repository),
                internal_pb2_grpc.add_OrdersServiceServicer_to_server,
            ),
            Servicer(
                "mamie_rosa.orders.internal.v1.ReconciliationService",
                ReconciliationServicer(reconciler=reconciler),
                internal_pb2_grpc.add_ReconciliationServiceServicer_to_server,
            ),
        ],
        checks={"mongodb": repository.ping},
        workers=[
            saga,
            OutboxRelay(outbox=MongoOutbox(client), url=config.service.bus_url, name="orders"),
            PeriodicWorker(
                name="reconciliation", work=turns.take, interval_seconds=INTERVAL_SECONDS
            ),
        ],
        streaming=build_streaming(config),
    )


def build_streaming(config: OrdersConfig) -> runtime.Streaming:
    """Return what is served to those who follow orders."""
    feed = OrderFeed(repository=MongoFeedRepository(connect_async(config.store_url)))
    servicer = Servicer(
        "mamie_rosa.orders.v1.OrderEventsService",
        OrderEventsServicer(feed=feed),
        order_events_pb2_grpc.add_OrderEventsServiceServicer_to_server,
    )
    return runtime.Streaming(name="order-events", servicers=[servicer], source=feed)


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
