"""The payments service: `python -m services.payments [serve | migrate] ...`."""

from pathlib import Path

from mamie_rosa.payments.internal.v1 import payments_pb2_grpc

from services.common import runtime
from services.common.rpc.server import ServiceBinding
from services.common.storage import migrations, postgres
from services.payments.bulkhead import Bulkhead
from services.payments.config import PaymentsConfig, read_config
from services.payments.manifest import MANIFEST
from services.payments.processor import PaymentProcessor
from services.payments.repository import PostgresPaymentsRepository
from services.payments.sandbox import SandboxProvider
from services.payments.sandbox_ledger import PostgresLedger
from services.payments.servicer import PaymentsServicer


def serve(config: PaymentsConfig) -> None:
    """Wire the service and serve until it is stopped."""
    # Threads that wait for the provider need no connection.
    engine = postgres.create_engine(config.store_url, pool_size=config.service.worker_threads)
    repository = PostgresPaymentsRepository(engine)
    provider = SandboxProvider(
        ledger=PostgresLedger(engine),
        slow_seconds=config.sandbox_slow_seconds,
        timeout_seconds=config.provider_timeout_seconds,
    )
    processor = PaymentProcessor(
        repository=repository,
        provider=provider,
        captures=_build_bulkhead(config),
        refunds=_build_bulkhead(config),
    )
    runtime.serve(
        name=MANIFEST.name,
        config=config.with_threads,
        bindings=[
            ServiceBinding(
                "mamie_rosa.payments.internal.v1.PaymentsService",
                PaymentsServicer(repository=repository, processor=processor),
                payments_pb2_grpc.add_PaymentsServiceServicer_to_server,
            )
        ],
        checks={"postgres": repository.ping},
    )


def _build_bulkhead(config: PaymentsConfig) -> Bulkhead:
    return Bulkhead(
        limit=config.provider_concurrency,
        limit_per_customer=config.provider_concurrency_per_customer,
    )


def migrate(config: PaymentsConfig) -> None:
    """Bring the schema up to date."""
    migrations.migrate(url=config.store_url, directory=Path(__file__).parent / "migrations")


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve, migrate=migrate)
