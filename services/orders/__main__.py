"""The orders service: `python -m services.orders [serve | migrate]`."""

from collections.abc import Sequence
from functools import partial

from mamie_rosa.orders.internal.v1 import orders_pb2_grpc as internal_pb2_grpc
from mamie_rosa.orders.v1 import order_events_pb2_grpc, orders_pb2_grpc

from services.common import runtime
from services.common.mesh.breaker import CircuitBreaker
from services.common.mesh.channels import Mesh
from services.common.messaging.relay import OutboxRelay
from services.common.periodic import PeriodicWorker
from services.common.rpc.server import ServiceBinding
from services.orders.checkout import Checkout
from services.orders.clients import CatalogOverGrpc, PaymentsOverGrpc, PromotionsOverGrpc
from services.orders.config import OrdersConfig, read_config
from services.orders.outbox import MongoOutbox
from services.orders.reconciliation.clients import sources_over
from services.orders.reconciliation.reconciler import (
    INTERVAL_SECONDS,
    Reconciler,
    ReconciliationTurns,
    Repairs,
)
from services.orders.reconciliation.repository import MongoReconciliationRepository
from services.orders.reconciliation.servicer import ReconciliationServicer
from services.orders.repository import MongoOrdersRepository
from services.orders.saga import Saga, Steps
from services.orders.servicer import InternalOrdersServicer, OrdersServicer
from services.orders.store import connect, connect_async
from services.orders.store import migrate as make_indexes
from services.orders.tracking.feed import OrderFeed
from services.orders.tracking.repository import MongoFeedRepository
from services.orders.tracking.servicer import OrderEventsServicer

IGNORED_REASONS = frozenset({"PROVIDER_UNAVAILABLE", "PROVIDER_BUSY"})
"""With this the payments answer, and are well: the provider failed, perhaps for one card alone.

A provider that answers nobody is noticed by the time that it takes.
"""


class Others:
    """The services that orders call."""

    def __init__(self, mesh: Mesh) -> None:
        self.catalog = CatalogOverGrpc(mesh.channel("catalog"))
        self.promotions = PromotionsOverGrpc(mesh.channel("promotions"))
        breaker = CircuitBreaker(ignored_reasons=IGNORED_REASONS)
        self.payments = PaymentsOverGrpc(mesh.channel("payments", breaker))


def serve(config: OrdersConfig) -> None:
    """Wire the service and serve until told to stop."""
    client = connect(config.store_url)
    repository = MongoOrdersRepository(client)
    reconciliation = MongoReconciliationRepository(client)
    mesh = Mesh(xds_servers=config.service.xds_servers, node_id=config.service.instance)
    others = Others(mesh)
    saga = build_saga(config, repository, others)
    checkout = build_checkout(config, repository, others, saga)
    reconciler = build_reconciler(mesh, reconciliation, others)
    runtime.serve(
        name="orders",
        config=config.service,
        bindings=[
            *build_servicers(repository, checkout, saga),
            ServiceBinding(
                "mamie_rosa.orders.internal.v1.ReconciliationService",
                ReconciliationServicer(reconciler=reconciler),
                internal_pb2_grpc.add_ReconciliationServiceServicer_to_server,
            ),
        ],
        checks={"mongodb": repository.ping},
        workers=[
            saga,
            OutboxRelay(outbox=MongoOutbox(client), url=config.service.bus_url, name="orders"),
            build_turns(reconciler, reconciliation),
        ],
        streaming=build_streaming(config),
    )


def build_saga(config: OrdersConfig, repository: MongoOrdersRepository, others: Others) -> Saga:
    """Return what carries orders on."""
    steps = Steps(
        catalog=others.catalog,
        promotions=others.promotions,
        payments=others.payments,
        sagas=repository,
    )
    return Saga(orders=repository, sagas=repository, steps=steps, instance=config.service.instance)


def build_checkout(
    config: OrdersConfig, repository: MongoOrdersRepository, others: Others, saga: Saga
) -> Checkout:
    """Return what takes orders."""
    return Checkout(
        repository=repository,
        catalog=others.catalog,
        promotions=others.promotions,
        saga=saga,
        hold_seconds=config.stock_hold_seconds,
    )


def build_reconciler(
    mesh: Mesh, repository: MongoReconciliationRepository, others: Others
) -> Reconciler:
    """Return what compares the stores of all services."""
    repairs = Repairs(
        catalog=others.catalog,
        promotions=others.promotions,
        payments=others.payments,
        repository=repository,
    )
    sources = [*repository.sources, *sources_over(mesh)]
    return Reconciler(sources=sources, repairs=repairs, repository=repository)


def build_turns(
    reconciler: Reconciler, repository: MongoReconciliationRepository
) -> PeriodicWorker:
    """Return what compares again and again, in turn with the other instances."""
    turns = ReconciliationTurns(reconcile=reconciler.reconcile, repository=repository)
    return PeriodicWorker(name="reconciliation", work=turns.take, interval_seconds=INTERVAL_SECONDS)


def build_servicers(
    repository: MongoOrdersRepository, checkout: Checkout, saga: Saga
) -> Sequence[ServiceBinding]:
    """Return what answers about orders."""
    return [
        ServiceBinding(
            "mamie_rosa.orders.v1.OrdersService",
            OrdersServicer(repository=repository, checkout=checkout, saga=saga),
            orders_pb2_grpc.add_OrdersServiceServicer_to_server,
        ),
        ServiceBinding(
            "mamie_rosa.orders.internal.v1.OrdersService",
            InternalOrdersServicer(repository=repository),
            internal_pb2_grpc.add_OrdersServiceServicer_to_server,
        ),
    ]


def build_streaming(config: OrdersConfig) -> runtime.Streaming:
    """Return what is served to those who follow orders."""
    feed = OrderFeed(repository=MongoFeedRepository(connect_async(config.store_url)))
    servicer = ServiceBinding(
        "mamie_rosa.orders.v1.OrderEventsService",
        OrderEventsServicer(feed=feed),
        order_events_pb2_grpc.add_OrderEventsServiceServicer_to_server,
    )
    return runtime.Streaming(name="order-events", bindings=[servicer], source=feed)


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
