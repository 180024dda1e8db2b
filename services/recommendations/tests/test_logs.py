"""What recommendations logs when an event or a statement fails: nothing about a person."""

from unittest.mock import Mock

import pika
import pytest
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import new_id, utc_now
from services.common.messaging import rabbitmq
from services.common.messaging.consumer import Consumer, Delivery, Outcome
from services.common.messaging.events import build_event
from services.common.tests.logs import assert_nothing_private, logged
from services.recommendations import cypher
from services.recommendations.consumer import QUEUE, EventHandler
from services.recommendations.tests.fakes import InMemoryRecommendationsRepository

CUSTOMER = events_pb2.UserCreated(
    user_id="alice",
    email="alice@customers.example",
    first_name="Alice",
    last_name="Martin",
    animal_type="cat",
)


def message(data=None):
    """Return an event as it comes from the broker; its data may be replaced."""
    event = build_event(CUSTOMER, source="users", subject="alice", now=utc_now(), new_id=new_id)
    return rabbitmq.build_properties(event), event.data if data is None else data


def process(repository, properties, body):
    handler = EventHandler(repository=repository)
    consumer = Consumer(queue=QUEUE, handler=handler.handle, url="")
    return consumer._process([Delivery(Mock(), 1, properties, body)], handler.handle_all)


@pytest.fixture
def output():
    with logged("recommendations") as lines:
        yield lines


@pytest.mark.parametrize("data", [CUSTOMER.SerializeToString()[:-3], b"alice@customers.example"])
def test_an_event_that_cannot_be_read_logs_nothing_about_the_customer(output, data):
    repository = InMemoryRecommendationsRepository()
    assert process(repository, *message(data)) is Outcome.FAILED
    assert_nothing_private(output, event="event_failed")


def test_an_event_without_attributes_logs_nothing_about_the_customer(output):
    repository, (_, body) = InMemoryRecommendationsRepository(), message()
    assert process(repository, pika.BasicProperties(), body) is Outcome.FAILED
    assert_nothing_private(output, event="event_failed")


@pytest.mark.integration
@pytest.mark.parametrize("statement", ["RECORD_EVENTS", "UPDATE_CUSTOMERS"])
def test_a_statement_that_fails_logs_nothing_about_the_customer(
    store, output, monkeypatch, statement
):
    monkeypatch.setattr(cypher, statement, "THIS IS NO STATEMENT")
    assert process(store, *message()) is Outcome.FAILED
    assert_nothing_private(output, event="event_failed")
