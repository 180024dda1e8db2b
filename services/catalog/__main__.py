"""The catalog service: `python -m services.catalog [serve | migrate | seed] ...`."""

from pathlib import Path

from mamie_rosa import catalog_pb2_grpc as legacy_pb2_grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2_grpc as internal_pb2_grpc
from mamie_rosa.catalog.v1 import catalog_pb2_grpc

from services.catalog import demo
from services.catalog.config import CatalogConfig, read_config
from services.catalog.low_stock import PostgresLowStockRepository
from services.catalog.manifest import MANIFEST
from services.catalog.promotions import PromotionsOverGrpc
from services.catalog.purchases import PurchasesOverGrpc
from services.catalog.ratings_repository import PostgresRatingsRepository
from services.catalog.read_model import CHANNEL, ProductReadModel
from services.catalog.repository import PostgresCatalogRepository
from services.catalog.reservations_repository import PostgresReservationsRepository
from services.catalog.schema import outbox
from services.catalog.search_repository import PostgresProductSearch
from services.catalog.servicer import (
    CatalogServicer,
    InternalCatalogServicer,
    LegacyCatalogServicer,
)
from services.catalog.worker import ReservationSweeper
from services.common import runtime
from services.common.background import PeriodicWorker
from services.common.messaging.relay import WOKEN_POLL_SECONDS, OutboxRelay
from services.common.rpc.server import ServiceBinding
from services.common.storage import migrations, postgres
from services.common.storage.listener import Listener
from services.common.storage.outbox import PostgresOutbox
from services.common.storage.store_clock import StoreClock


def serve(config: CatalogConfig) -> None:
    """Wire the service and serve until it is stopped."""
    engine = postgres.create_engine(config.store_url, pool_size=config.service.worker_threads)
    clock = StoreClock(engine)
    read_model = ProductReadModel()
    repository = PostgresCatalogRepository(engine, read_model=read_model, clock=clock)
    reservations = PostgresReservationsRepository(engine, clock=clock)
    mesh = runtime.open_mesh(MANIFEST, config.service)
    servicer = CatalogServicer(
        repository=repository,
        search=PostgresProductSearch(engine),
        ratings=PostgresRatingsRepository(engine),
        promotions=PromotionsOverGrpc(mesh.channel("promotions")),
        purchases=PurchasesOverGrpc(mesh.channel("orders")),
        low_stock=PostgresLowStockRepository(engine),
    )
    sweeper = ReservationSweeper(reservations=reservations, clock=clock)
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[
            ServiceBinding(
                "mamie_rosa.catalog.v1.CatalogService",
                servicer,
                catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
            ),
            ServiceBinding(
                "mamie_rosa.catalog.internal.v1.CatalogService",
                InternalCatalogServicer(
                    repository=repository, reservations=reservations, clock=clock
                ),
                internal_pb2_grpc.add_CatalogServiceServicer_to_server,
            ),
            ServiceBinding(
                "mamie_rosa.CatalogService",
                LegacyCatalogServicer(repository=repository),
                legacy_pb2_grpc.add_CatalogServiceServicer_to_server,
            ),
        ],
        checks={"postgres": repository.ping},
        workers=[
            PeriodicWorker(
                name="reservation-sweeper",
                work=sweeper.sweep,
                interval_seconds=config.sweep_interval_seconds,
            ),
            Listener(url=config.store_url, channel=CHANNEL, subscriber=read_model),
            OutboxRelay(
                outbox=PostgresOutbox(engine, outbox),
                url=config.service.bus_url,
                name="catalog",
                poll_seconds=WOKEN_POLL_SECONDS,
            ),
        ],
        mesh=mesh,
    )


def migrate(config: CatalogConfig) -> None:
    """Bring the schema up to date."""
    migrations.migrate(url=config.store_url, directory=Path(__file__).parent / "migrations")


def seed(config: CatalogConfig) -> None:
    """Add the demo products that are not there yet."""
    demo.seed(PostgresCatalogRepository(postgres.create_engine(config.store_url)))


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve, migrate=migrate, seed=seed)
