"""A relay that is woken by those who write events, on a real RabbitMQ and PostgreSQL."""

import threading
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox, OutboxRelay, wake_relays
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox, outbox_table
from services.common.tests.broker import build_event, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

LONG = 60.0


class CountingOutbox(Outbox):
    """An outbox in a list, which counts how often a relay looks at it."""

    def __init__(self):
        self.events: list[CloudEvent] = []
        self.looks = 0

    @contextmanager
    def take(self, limit):
        batch = self.events[:limit]
        yield batch
        del self.events[: len(batch)]
        self.looks += 1


@pytest.fixture
def outbox():
    return CountingOutbox()


@pytest.fixture
def relay(outbox, broker_url):
    """Yield a relay that has looked once, and would not look again for a minute."""
    relay = OutboxRelay(outbox=outbox, url=broker_url, name="test", poll_seconds=LONG)
    with running(relay):
        eventually(lambda: outbox.looks == 1)
        yield relay


def test_a_relay_that_is_woken_publishes_at_once(outbox, relay, queue):
    outbox.events = [build_event(queue.types[0])]
    wake_relays()
    eventually(lambda: not outbox.events)


def test_a_relay_that_waits_is_stopped_at_once(relay):
    started = time.monotonic()
    relay.stop()
    assert time.monotonic() - started < 5
    wake_relays()  # it is not there any more, which is no error


def test_an_event_wakes_the_relay_when_it_is_committed(outbox, relay, engine):
    table = outbox_table(sa.MetaData())
    table.metadata.create_all(engine)
    committed = threading.Event()
    with postgres.transaction(engine) as connection:
        add_to_outbox(connection, table, build_event("a.B"))
        assert not committed.wait(0.2)
        assert outbox.looks == 1
    eventually(lambda: outbox.looks == 2)


def test_an_event_that_is_rolled_back_wakes_nobody(outbox, relay, engine):
    table = outbox_table(sa.MetaData())
    table.metadata.create_all(engine)
    with pytest.raises(ZeroDivisionError), postgres.transaction(engine) as connection:
        add_to_outbox(connection, table, build_event("a.B"))
        raise ZeroDivisionError
    wake_relays()
    eventually(lambda: outbox.looks == 2)
    assert outbox.looks == 2
