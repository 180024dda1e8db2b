"""Catalog, payments, promotions and orders in one process, without Envoy."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from mamie_rosa.catalog.internal.v1 import catalog_pb2_grpc as catalog_grpc
from mamie_rosa.payments.internal.v1 import payments_pb2_grpc as payments_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2_grpc as promotions_grpc

import services.catalog
import services.payments
from services.catalog.domain import Product
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.reservations_repository import PostgresReservationsRepository
from services.catalog.servicer import InternalCatalogServicer
from services.common.clock import utc_now
from services.common.mesh.channels import open_channel
from services.common.messaging.events import CloudEvent
from services.common.rpc.server import GrpcServer, ServiceBinding
from services.common.storage import migrations, postgres
from services.orders import store
from services.orders.clients import CatalogOverGrpc, PaymentsOverGrpc, PromotionsOverGrpc
from services.orders.decisions import Decisions
from services.orders.domain import Order, cancel
from services.orders.events import Address
from services.orders.outbox import MongoOutbox
from services.orders.placing.attempts import MongoAttempts
from services.orders.placing.checkout import Cart, Checkout
from services.orders.reconciliation.clients import (
    build_payments_source,
    build_redemptions_source,
    build_reservations_source,
)
from services.orders.reconciliation.domain import Finding
from services.orders.reconciliation.reconciler import Reconciler, RepairActions
from services.orders.reconciliation.repository import MongoReconciliationRepository
from services.orders.repository import MongoOrdersRepository, MongoSagaRepository
from services.orders.saga import SagaOrchestrator
from services.orders.states import OrderStatus
from services.orders.steps import SagaSteps
from services.payments.repository import PostgresPaymentsRepository, payments
from services.payments.sandbox import SandboxProvider
from services.payments.sandbox_ledger import PostgresLedger
from services.payments.servicer import PaymentsServicer
from services.payments.tests.fakes import build_processor
from services.promotions.domain import Promotion
from services.promotions.repository import RedisPromotionsRepository
from services.promotions.servicer import InternalPromotionsServicer
from services.promotions.store import connect
from tests.support.waiting import eventually

CODES = ("TEN", "OTHER")
PRODUCTS = tuple(f"00000000-0000-4000-8000-{number:012}" for number in range(1, 6))
ALICE = "0a11ce00-0000-4000-8000-000000000001"
ADDRESS = Address(
    recipient="Rosa",
    line1="1 rue des Lilas",
    line2="",
    postal_code="75011",
    city="Paris",
    country="FR",
)
PAYMENTS = "mamie_rosa.payments.internal.v1.PaymentsService"
CATALOG = "mamie_rosa.catalog.internal.v1.CatalogService"
PROMOTIONS = "mamie_rosa.promotions.internal.v1.PromotionsService"


class OrderShop:
    """The services that an order needs, and their stores."""

    def __init__(
        self, *, catalog_url: str, payments_url: str, promotions_url: str, orders_url: str
    ) -> None:
        self.catalog_engine = _migrated(catalog_url, services.catalog)
        self.payments_engine = _migrated(payments_url, services.payments)
        self.redis = connect(promotions_url)
        self.mongo = store.connect(orders_url)
        store.migrate(self.mongo)
        self.products = PostgresCatalogRepository(self.catalog_engine)
        self.promotions = RedisPromotionsRepository(self.redis)
        self.payments = PostgresPaymentsRepository(self.payments_engine)
        self.orders = MongoOrdersRepository(self.mongo)
        self.sagas = MongoSagaRepository(self.mongo)
        self.database = self.mongo.get_default_database()
        self._server = self._build_server()
        self._channel = open_channel(f"127.0.0.1:{self._server.port}")
        self._wire()

    def start(self) -> None:
        """Serve, with products and promotion codes."""
        for number, product_id in enumerate(PRODUCTS, 1):
            self.products.add(_product(product_id, number))
        for code in CODES:
            self.promotions.add(build_promotion(code, utc_now()), publish=False)
        self._server.start()
        self.orchestrator.start()

    def stop(self) -> None:
        """Stop serving, and close the connections."""
        self.orchestrator.stop()
        self._channel.close()
        self._server.stop(0)
        for engine in (self.catalog_engine, self.payments_engine):
            engine.dispose()
        self.redis.close()
        self.mongo.close()

    def place(self, number: int, *, token: str) -> Order:
        """Place an order; every second one with a code."""
        cart = Cart(
            lines=[(PRODUCTS[number % len(PRODUCTS)], 1 + number % 3), (PRODUCTS[0], 1)],
            promo_code="TEN" if number % 2 else "",
            address=ADDRESS,
            payment_token=token,
        )
        return self.checkout.place(ALICE, cart, "")

    def await_complete(self, placed: Sequence[Order]) -> list[Order]:
        """Wait until orders are confirmed, or cancelled and compensated; return them."""
        return [eventually(partial(self._find_complete, order), seconds=60) for order in placed]

    def cancel(self, order: Order) -> Order:
        """Cancel an order and refund its payment."""
        return self.decisions.apply(order, lambda current: cancel(current, "CUSTOMER"))

    def age(self, by: timedelta) -> None:
        """Move the times of all records into the past."""
        earlier = {"$subtract": ["$time", by // timedelta(milliseconds=1)]}
        self.database.events.update_many({}, [{"$set": {"time": earlier}}])
        with self.payments_engine.begin() as connection:
            connection.execute(sa.update(payments).values(created_at=payments.c.created_at - by))
        for key in self.redis.scan_iter("promotions:order:*", count=1_000):
            if self.redis.hexists(key, "at"):
                self.redis.hincrby(key, "at", -(by // timedelta(microseconds=1)))

    def publish(self) -> list[CloudEvent]:
        """Empty the outbox as the relay does, and return its events."""
        published: list[CloudEvent] = []
        while True:
            with MongoOutbox(self.mongo).take(1_000) as events:
                if not events:
                    return published
                published.extend(events)

    def reconcile(self) -> list[Finding]:
        """Reconcile all orders, and return the findings."""
        findings: list[Finding] = []
        first = ""
        while True:
            report = self.reconciler.reconcile(first, 100)
            findings.extend(report.findings)
            if not (first := report.next_order_id):
                return findings

    def _find_complete(self, placed: Order) -> Order | None:
        order = self.orders.load(placed.order_id)
        confirmed = order.status is OrderStatus.CONFIRMED
        return order if confirmed or order.stock_released else None

    def _build_server(self) -> GrpcServer:
        provider = SandboxProvider(
            ledger=PostgresLedger(self.payments_engine), slow_seconds=0.1, timeout_seconds=2
        )
        processor = PaymentsServicer(
            repository=self.payments, processor=build_processor(self.payments, provider)
        )
        catalog = InternalCatalogServicer(
            repository=self.products,
            reservations=PostgresReservationsRepository(self.catalog_engine),
        )
        promotions = InternalPromotionsServicer(repository=self.promotions)
        return GrpcServer(
            bindings=[
                ServiceBinding(
                    PAYMENTS, processor, payments_grpc.add_PaymentsServiceServicer_to_server
                ),
                ServiceBinding(CATALOG, catalog, catalog_grpc.add_CatalogServiceServicer_to_server),
                ServiceBinding(
                    PROMOTIONS, promotions, promotions_grpc.add_PromotionsServiceServicer_to_server
                ),
            ],
            host="127.0.0.1",
            port=0,
            worker_threads=10,
            queue_limit=1_000,
        )

    def _wire(self) -> None:
        catalog = self.catalog_client = CatalogOverGrpc(self._channel)
        promotions = self.promotions_client = PromotionsOverGrpc(self._channel)
        payments = self.payments_client = PaymentsOverGrpc(self._channel)
        steps = SagaSteps(
            catalog=catalog, promotions=promotions, payments=payments, sagas=self.sagas
        )
        self.orchestrator = SagaOrchestrator(
            orders=self.orders, sagas=self.sagas, steps=steps, instance="test"
        )
        self.checkout = Checkout(
            orders=self.orders,
            attempts=MongoAttempts(self.mongo),
            catalog=catalog,
            promotions=promotions,
            orchestrator=self.orchestrator,
            hold_seconds=900,
        )
        self.decisions = Decisions(orders=self.orders, orchestrator=self.orchestrator)
        repository = MongoReconciliationRepository(self.mongo)
        repairs = RepairActions(
            catalog=catalog, promotions=promotions, payments=payments, repository=repository
        )
        upstreams = (build_payments_source, build_reservations_source, build_redemptions_source)
        self.reconciler = Reconciler(
            sources=[*repository.sources, *(build(self._channel) for build in upstreams)],
            repairs=repairs,
            repository=repository,
        )


def _migrated(url: str, service) -> sa.Engine:
    directory = Path(service.__path__[0]) / "migrations"
    migrations.migrate(url=url, directory=directory)
    return postgres.create_engine(url, pool_size=10)


def _product(product_id: str, number: int) -> Product:
    return Product(
        product_id=product_id,
        sku=f"prod_{number:03}",
        title=f"Kibble {number}",
        description="Crunchy.",
        category="dog-food",
        price=Decimal("12.90"),
        currency="EUR",
        stock=10_000,
        image_url="",
    )


def build_promotion(code: str, now: datetime) -> Promotion:
    """Build a promotion of 10 % that is active."""
    return Promotion(
        code=code,
        discount_percentage=10,
        valid_from=now - timedelta(days=1),
        valid_until=now + timedelta(days=1),
    )
