"""What the tests of the shared code ask for."""

import uuid
from collections.abc import Iterator

import pytest
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from structlog.testing import LogCapture

from services.common.messaging import rabbitmq
from tests.plugin import server_url


@pytest.fixture
def log() -> Iterator[list]:
    """Yield the events that are logged, from "debug" on."""
    before = structlog.get_config()
    capture = LogCapture()
    filtering = structlog.make_filtering_bound_logger("debug")
    structlog.configure(processors=[capture], wrapper_class=filtering)
    yield capture.entries
    structlog.configure(**before)


@pytest.fixture
def consul_url(request: pytest.FixtureRequest) -> str:
    """Return where a Consul agent is."""
    return server_url(request, "consul")


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return where RabbitMQ is."""
    return server_url(request, "rabbitmq")


@pytest.fixture
def queue(broker_url: str) -> Iterator[rabbitmq.Queue]:
    """Yield a consumer's queue that no other test knows; it is deleted afterwards."""
    name = f"test-{uuid.uuid4().hex}"
    queue = rabbitmq.Queue(name, [f"test.{name}"])
    with rabbitmq.connection(broker_url, "test") as connection:
        rabbitmq.declare_queue(connection.channel(), queue)
    yield queue
    with rabbitmq.connection(broker_url, "test") as connection:
        for each in (queue.name, queue.dead):
            connection.channel().queue_delete(each)


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    """Yield a channel on which what was published is on disk."""
    with rabbitmq.connection(broker_url, "test") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
