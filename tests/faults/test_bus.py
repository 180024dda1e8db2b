"""The bus under kill -9: every event that was committed is published, and has one effect."""

import uuid
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import cycle
from threading import Event, Thread

import pytest
import sqlalchemy as sa

from services.common.messaging import rabbitmq
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox
from services.users.repository import outbox
from tests.faults.heard import Heard, engine_of, tell_of
from tests.waiting import eventually

pytestmark = pytest.mark.faults

CLIENTS, CHANGES = 200, 5


@pytest.fixture
def users(stack):
    with engine_of(stack, "users") as engine:
        yield engine


@pytest.fixture
def heard(stack):
    with engine_of(stack, "notifications") as engine:
        yield Heard(engine)


@contextmanager
def killing(stack):
    """Kill an instance of users, whose relay works, every two seconds, and RabbitMQ twice.

    Yields the list of what was killed, which grows.
    """
    over, killed = Event(), []

    def kill():
        instances = cycle(stack.instances("users"))
        while not over.wait(2):
            killed.append(next(instances))
            stack.kill(killed[-1])
            if len(killed) in (2, 6):
                stack.kill("rabbitmq")

    killer = Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


def commit_events(users, client_ids, before_change):
    """Commit one client and four changes for each id, a transaction each, as users does.

    `before_change` is called with the number of the change, from 0, before each round.
    """
    for change in range(CHANGES):
        before_change(change)
        for user_id in client_ids:
            event = tell_of(user_id, f"Version {change}", is_new=change == 0)
            with postgres.transaction(users) as connection:
                add_to_outbox(connection, outbox, event)


def published(stack, subjects):
    """Return what the log says of some subjects: event ids in the order of their first time."""
    heard: dict[str, dict[str, datetime]] = defaultdict(dict)
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        first = {"x-stream-offset": "first"}
        for method, properties, body in channel.consume(
            rabbitmq.EVENT_LOG, arguments=first, inactivity_timeout=2
        ):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            if (properties.headers or {}).get(rabbitmq.PREFIX + "subject") in subjects:
                event = rabbitmq.read_event(properties, body)
                heard[event.subject].setdefault(event.id, event.time)
    return heard


def test_a_thousand_events_are_published_in_order_and_have_one_effect_each(
    stack, users, heard, say
):
    client_ids = [str(uuid.uuid4()) for _ in range(CLIENTS)]
    with killing(stack) as killed:
        # Two processes at least are killed between one change of a client and the next.
        commit_events(users, client_ids, lambda n: eventually(partial(has_at_least, killed, 2 * n)))
    eventually(lambda: waiting(users) == 0, seconds=90)
    told = assert_one_effect_each(stack, heard, client_ids)
    say(f"{len(killed)} relays killed, and RabbitMQ twice: {lags(heard, told)}")


def test_in_a_calm_shop_the_same_events_have_their_effect_too(stack, users, heard, say):
    client_ids = [str(uuid.uuid4()) for _ in range(CLIENTS)]
    # Everybody has heard of one change before the next.
    commit_events(
        users,
        client_ids,
        lambda n: eventually(partial(have_heard, heard, client_ids, n - 1), seconds=60),
    )
    told = assert_one_effect_each(stack, heard, client_ids)
    say(f"nobody killed: {lags(heard, told)}")


def has_at_least(things, count):
    return len(things) >= count


def have_heard(heard, client_ids, change):
    """Return whether a change of each client was heard of; before the first there is none."""
    return change < 0 or heard.names(client_ids) == [f"Version {change}"] * CLIENTS


def waiting(users):
    with users.connect() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar_one()


def assert_one_effect_each(stack, heard, client_ids):
    """Return what was published of some clients, if each event had one effect, in order."""
    eventually(partial(have_heard, heard, client_ids, CHANGES - 1), seconds=60)
    told = published(stack, set(client_ids))
    assert {len(events) for events in told.values()} == {CHANGES}
    assert all(list(e.values()) == sorted(e.values()) for e in told.values())
    assert heard.welcomes(client_ids) == dict.fromkeys(client_ids, 1)
    return told


def lags(heard, told):
    """Return in words how long after their commit events had their effect."""
    committed = {event_id: at for events in told.values() for event_id, at in events.items()}
    handled = heard.times(list(committed))
    assert handled.keys() == committed.keys()
    found = sorted((handled[each] - committed[each]).total_seconds() for each in committed)
    middle, late = found[len(found) // 2], found[int(len(found) * 0.99)]
    return f"lag of {len(found)} events p50 {middle:.2f} s, p99 {late:.2f} s"
