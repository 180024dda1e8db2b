"""The promotions service: `python -m services.promotions [serve | seed] ...`."""

from mamie_rosa.promotions.internal.v1 import promotions_pb2_grpc as internal_pb2_grpc
from mamie_rosa.promotions.v1 import promotions_pb2_grpc

from services.common import runtime
from services.common.clock import utc_now
from services.common.messaging.relay import WOKEN_POLL_SECONDS, OutboxRelay
from services.common.rpc.server import ServiceBinding
from services.promotions import demo
from services.promotions.config import PromotionsConfig, read_config
from services.promotions.manifest import MANIFEST
from services.promotions.outbox import RedisOutbox
from services.promotions.repository import RedisPromotionsRepository
from services.promotions.servicer import InternalPromotionsServicer, PromotionsServicer
from services.promotions.store import connect


def serve(config: PromotionsConfig) -> None:
    """Wire the service and serve until it is stopped."""
    client = connect(config.store_url)
    repository = RedisPromotionsRepository(client)
    runtime.serve(
        name=MANIFEST.name,
        config=config.service,
        bindings=[
            ServiceBinding(
                "mamie_rosa.promotions.v1.PromotionsService",
                PromotionsServicer(repository=repository),
                promotions_pb2_grpc.add_PromotionsServiceServicer_to_server,
            ),
            ServiceBinding(
                "mamie_rosa.promotions.internal.v1.PromotionsService",
                InternalPromotionsServicer(repository=repository),
                internal_pb2_grpc.add_PromotionsServiceServicer_to_server,
            ),
        ],
        checks={"redis": repository.ping},
        workers=[
            OutboxRelay(
                outbox=RedisOutbox(client),
                url=config.service.bus_url,
                name="promotions",
                poll_seconds=WOKEN_POLL_SECONDS,
            )
        ],
        mesh=runtime.open_mesh(MANIFEST, config.service),
    )


def seed(config: PromotionsConfig) -> None:
    """Add the demo codes that are not there yet, and index the codes of the release before."""
    with connect(config.store_url) as client:
        repository = RedisPromotionsRepository(client)
        repository.index(utc_now())
        demo.seed(repository)


if __name__ == "__main__":
    runtime.run(MANIFEST, read_config, serve=serve, seed=seed)
