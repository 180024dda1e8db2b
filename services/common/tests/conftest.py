"""Fixtures of the tests of the shared code: captured logs, Consul, RabbitMQ and PostgreSQL."""

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from structlog.testing import LogCapture

from services.common.messaging import rabbitmq
from services.common.storage import postgres
from services.common.tests.broker import patient_connection
from services.common.tests.recording import recorded
from tests.plugin import server_url

__all__ = ["recorded"]


@pytest.fixture
def log() -> Iterator[list]:
    """Yield the logged events of all levels from "debug"."""
    before = structlog.get_config()
    capture = LogCapture()
    filtering = structlog.make_filtering_bound_logger("debug")
    structlog.configure(processors=[capture], wrapper_class=filtering)
    yield capture.entries
    structlog.configure(**before)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    """Yield an engine of a database that no other test uses."""
    engine = postgres.create_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def consul_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a Consul agent."""
    return server_url(request, "consul")


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of RabbitMQ."""
    return server_url(request, "rabbitmq")


@pytest.fixture
def queue(broker_url: str) -> Iterator[rabbitmq.Queue]:
    """Yield a consumer's queue that no other test uses; it is deleted afterwards."""
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
    """Yield a channel with publisher confirms."""
    with patient_connection(broker_url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
