"""The recommendations service: `python -m services.recommendations [serve | migrate | ...]`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mamie_rosa.recommendations.v1 import recommendations_pb2_grpc

from services.common import runtime
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Batches, Consumer
from services.common.messaging.dead_letter_queue import DeadLetterQueue
from services.common.rpc.server import ServiceBinding
from services.recommendations import demo
from services.recommendations.config import RecommendationsConfig, read_config
from services.recommendations.consumer import QUEUE, EventHandler
from services.recommendations.manifest import MANIFEST
from services.recommendations.rebuild import rebuild
from services.recommendations.repository import BoltRecommendationsRepository, connect
from services.recommendations.servicer import RecommendationsServicer


@contextmanager
def repository_of(config: RecommendationsConfig) -> Iterator[BoltRecommendationsRepository]:
    """Yield the graph; its connections are closed afterwards."""
    driver, database = connect(config.store_url)
    with driver:
        yield BoltRecommendationsRepository(driver, database)


def serve(config: RecommendationsConfig) -> None:
    """Wire the service and serve until it is stopped."""
    with repository_of(config) as repository:
        handler = EventHandler(repository=repository)
        runtime.serve(
            name=MANIFEST.name,
            config=config.service,
            bindings=[
                ServiceBinding(
                    "mamie_rosa.recommendations.v1.RecommendationsService",
                    RecommendationsServicer(
                        repository=repository,
                        dead_letters=DeadLetterQueue(config.service.bus_url, QUEUE),
                    ),
                    recommendations_pb2_grpc.add_RecommendationsServiceServicer_to_server,
                )
            ],
            checks={"graph": repository.ping},
            workers=[
                Consumer(
                    queue=QUEUE,
                    handler=handler.handle,
                    url=config.service.bus_url,
                    batches=Batches(handler=handler.handle_all),
                )
            ],
            mesh=runtime.open_mesh(MANIFEST, config.service),
        )


def migrate(config: RecommendationsConfig) -> None:
    """Create the constraints and indexes that are not there yet."""
    with repository_of(config) as repository:
        repository.migrate()


def seed(config: RecommendationsConfig) -> None:
    """Add the purchases of the demo customers that are not there yet."""
    with repository_of(config) as repository:
        demo.seed(repository)


def rebuild_graph(config: RecommendationsConfig, *, partial: bool = False) -> None:
    """Rebuild the graph from the event log, or with `partial` from what is left of it."""
    with repository_of(config) as repository:
        rebuild(url=config.service.bus_url, repository=repository, partial=partial)


def declare(config: RecommendationsConfig) -> None:
    """Declare the queue."""
    rabbitmq.declare(config.service.bus_url, QUEUE)


if __name__ == "__main__":
    runtime.run(
        MANIFEST,
        read_config,
        serve=serve,
        migrate=migrate,
        seed=seed,
        declare=declare,
        rebuild=rebuild_graph,
        rebuild_partial=partial(rebuild_graph, partial=True),
    )
