"""The orders service: `python -m services.orders [serve | migrate]`."""

from collections.abc import Sequence

import pymongo
from mamie_rosa.orders.internal.v1 import orders_pb2_grpc as internal_pb2_grpc
from mamie_rosa.orders.v1 import order_events_pb2_grpc, orders_pb2_grpc, shop_orders_pb2_grpc

from services.common import runtime
from services.common.background import PeriodicWorker
from services.common.clock import Clock
from services.common.mesh.breaker import CircuitBreaker
from services.common.mesh.channels import Mesh
from services.common.messaging.relay import OutboxRelay
from services.common.rpc.server import ServiceBinding
from services.orders.clients import CatalogOverGrpc, PaymentsOverGrpc, PromotionsOverGrpc
from services.orders.config import OrdersConfig, read_config
from services.orders.decisions import Decisions
from services.orders.manifest import MANIFEST
from services.orders.metrics.pool import PoolMeter
from services.orders.metrics.unfinished import UnfinishedOrders
from services.orders.outbox import MongoOutbox
from services.orders.overview.repository import MongoShopOrdersRepository
from services.orders.overview.servicer import ShopOrdersServicer
from services.orders.placing.attempts import MongoAttempts
from services.orders.placing.checkout import Checkout
from services.orders.reconciliation.clients import build_sources
from services.orders.reconciliation.job import INTERVAL_SECONDS, ReconciliationJob
from services.orders.reconciliation.progress import MongoProgress
from services.orders.reconciliation.reconciler import Reconciler, RepairActions
from services.orders.reconciliation.repository import MongoReconciliationRepository
from services.orders.reconciliation.servicer import ReconciliationServicer
from services.orders.repository import MongoOrdersRepository, MongoSagaRepository
from services.orders.saga import SagaOrchestrator
from services.orders.servicer import InternalOrdersServicer, OrdersServicer
from services.orders.steps import SagaSteps
from services.orders.store import POOL_SIZE, connect, connect_async
from services.orders.store import migrate as create_indexes
from services.orders.tracking.feed import OrderFeed
from services.orders.tracking.quota import StreamQuota
from services.orders.tracking.repository import MongoFeedRepository
from services.orders.tracking.servicer import OrderEventsServicer

IGNORED_REASONS = frozenset({"PROVIDER_UNAVAILABLE", "PROVIDER_BUSY"})
"""Errors that say nothing about the health of payments: the provider failed, perhaps for one
card alone. A provider that is down shows in timeouts.
"""


class Upstreams:
    """The services that orders call."""

    def __init__(self, mesh: Mesh) -> None:
        self.catalog = CatalogOverGrpc(mesh.channel("catalog"))
        self.promotions = PromotionsOverGrpc(mesh.channel("promotions"))
        breaker = CircuitBreaker(upstream="payments", ignored_reasons=IGNORED_REASONS)
        self.payments = PaymentsOverGrpc(mesh.channel("payments", breaker))


def serve(config: OrdersConfig) -> None:
    """Wire the service and serve until it is stopped."""
    client = connect(config.store_url, PoolMeter(POOL_SIZE))
    orders = MongoOrdersRepository(client)
    outbox = MongoOutbox(client, written=orders.outbox_written)
    reconciliation = MongoReconciliationRepository(client, clock=orders.store_clock.now)
    mesh = runtime.open_mesh(MANIFEST, config.service)
    upstreams = Upstreams(mesh)
    orchestrator = build_orchestrator(config, orders, MongoSagaRepository(client), upstreams)
    checkout = build_checkout(config, orders, MongoAttempts(client), upstreams, orchestrator)
    decisions = Decisions(orders=orders, orchestrator=orchestrator)
    reconciler = build_reconciler(mesh, reconciliation, upstreams, orders.store_clock.now)
    job = ReconciliationJob(
        reconciler=reconciler,
        progress=MongoProgress(client),
        round_seconds=config.reconciliation_round_seconds,
        clock=orders.store_clock.now,
    )
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[
            *build_bindings(orders, checkout, decisions),
            build_overview(client, orders.store_clock.now),
            ServiceBinding(
                "mamie_rosa.orders.internal.v1.ReconciliationService",
                ReconciliationServicer(reconciler=reconciler),
                internal_pb2_grpc.add_ReconciliationServiceServicer_to_server,
            ),
        ],
        checks={"mongodb": orders.ping},
        workers=[
            orchestrator,
            OutboxRelay(outbox=outbox, url=config.service.bus_url, name="orders"),
            build_reconciliation_worker(job),
            UnfinishedOrders(client).worker(),
        ],
        streaming=build_streaming(config),
        mesh=mesh,
    )


def build_orchestrator(
    config: OrdersConfig,
    orders: MongoOrdersRepository,
    sagas: MongoSagaRepository,
    upstreams: Upstreams,
) -> SagaOrchestrator:
    """Build the saga orchestrator."""
    steps = SagaSteps(
        catalog=upstreams.catalog,
        promotions=upstreams.promotions,
        payments=upstreams.payments,
        sagas=sagas,
    )
    return SagaOrchestrator(
        orders=orders,
        sagas=sagas,
        steps=steps,
        instance=config.service.instance,
        clock=orders.store_clock.now,
    )


def build_checkout(
    config: OrdersConfig,
    orders: MongoOrdersRepository,
    attempts: MongoAttempts,
    upstreams: Upstreams,
    orchestrator: SagaOrchestrator,
) -> Checkout:
    """Build the checkout."""
    return Checkout(
        orders=orders,
        attempts=attempts,
        catalog=upstreams.catalog,
        promotions=upstreams.promotions,
        orchestrator=orchestrator,
        hold_seconds=config.stock_hold_seconds,
    )


def build_reconciler(
    mesh: Mesh,
    repository: MongoReconciliationRepository,
    upstreams: Upstreams,
    clock: Clock,
) -> Reconciler:
    """Build the reconciler of this service's store with those of the upstreams."""
    repairs = RepairActions(
        catalog=upstreams.catalog,
        promotions=upstreams.promotions,
        payments=upstreams.payments,
        repository=repository,
    )
    sources = [*repository.sources, *build_sources(mesh)]
    return Reconciler(sources=sources, repairs=repairs, repository=repository, clock=clock)


def build_reconciliation_worker(job: ReconciliationJob) -> PeriodicWorker:
    """Build the worker that reconciles periodically, on one instance at a time."""
    return PeriodicWorker(
        name="reconciliation",
        work=job.run,
        interval_seconds=INTERVAL_SECONDS,
        status=lambda: job.status,
    )


def build_bindings(
    orders: MongoOrdersRepository, checkout: Checkout, decisions: Decisions
) -> Sequence[ServiceBinding]:
    """Build the bindings of the public and the internal service."""
    return [
        ServiceBinding(
            "mamie_rosa.orders.v1.OrdersService",
            OrdersServicer(orders=orders, checkout=checkout, decisions=decisions),
            orders_pb2_grpc.add_OrdersServiceServicer_to_server,
        ),
        ServiceBinding(
            "mamie_rosa.orders.internal.v1.OrdersService",
            InternalOrdersServicer(orders=orders),
            internal_pb2_grpc.add_OrdersServiceServicer_to_server,
        ),
    ]


def build_overview(client: pymongo.MongoClient, clock: Clock) -> ServiceBinding:
    """Build the binding of the service that shows all orders to administrators."""
    repository = MongoShopOrdersRepository(client, clock=clock)
    return ServiceBinding(
        "mamie_rosa.orders.v1.ShopOrdersService",
        ShopOrdersServicer(orders=repository, clock=clock),
        shop_orders_pb2_grpc.add_ShopOrdersServiceServicer_to_server,
    )


def build_streaming(config: OrdersConfig) -> runtime.Streaming:
    """Build the streaming server's part, on which customers track orders."""
    feed = OrderFeed(repository=MongoFeedRepository(connect_async(config.store_url)))
    binding = ServiceBinding(
        "mamie_rosa.orders.v1.OrderEventsService",
        OrderEventsServicer(feed=feed, quota=StreamQuota(config.streams_per_customer)),
        order_events_pb2_grpc.add_OrderEventsServiceServicer_to_server,
    )
    return runtime.Streaming(name="order-events", bindings=[binding], source=feed)


def migrate(config: OrdersConfig) -> None:
    """Create the indexes."""
    with connect(config.store_url) as client:
        create_indexes(client)


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve, migrate=migrate)
