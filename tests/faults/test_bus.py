"""The bus under kill -9: every event that was committed is published, and has one effect."""

import time
import uuid
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from threading import Event, Thread

import pika
import pytest
import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from services.common import bus, postgres
from services.common.clock import new_id
from services.common.events import build_event
from services.users.repository import outbox
from tests.outage import down
from tests.waiting import eventually

pytestmark = pytest.mark.faults

CLIENTS, CHANGES = 200, 5


@contextmanager
def engine_of(stack, service):
    engine = postgres.create_engine(stack.store_url(service), pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


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


def commit_events(engine, client_ids, killed):
    """Commit one client and four changes for each id, a transaction each, as users does.

    Two processes at least are killed between one change of a client and the next.
    """
    for change in range(CHANGES):
        eventually(partial(has_at_least, killed, 2 * change))
        for user_id in client_ids:
            kind = events_pb2.UserUpdated if change else events_pb2.UserCreated
            data = kind(
                user_id=user_id,
                email=f"{user_id}@clients.example",
                first_name=f"Version {change}",
                notifications_enabled=True,
            )
            event = build_event(
                data, source="users", subject=user_id, now=datetime.now(UTC), new_id=new_id
            )
            with postgres.transaction(engine) as connection:
                postgres.add_to_outbox(connection, outbox, event)


def has_at_least(things, count):
    return len(things) >= count


def published(stack, subjects):
    """Return what the log says of some subjects: event ids in the order of their first time."""
    heard: dict[str, dict[str, datetime]] = defaultdict(dict)
    with bus.connection(stack.url("rabbitmq"), "test") as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        first = {"x-stream-offset": "first"}
        for method, properties, body in channel.consume(
            bus.LOG, arguments=first, inactivity_timeout=2
        ):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            if (properties.headers or {}).get(bus.PREFIX + "subject") in subjects:
                event = bus.read_event(properties, body)
                heard[event.subject].setdefault(event.id, event.time)
    return heard


def test_a_thousand_events_are_published_in_order_and_have_one_effect_each(stack):
    client_ids = [str(uuid.uuid4()) for _ in range(CLIENTS)]
    with engine_of(stack, "users") as users, engine_of(stack, "notifications") as notifications:
        with killing(stack) as killed:
            commit_events(users, client_ids, killed)
        eventually(lambda: waiting(users) == 0, seconds=90)
        print(f"{len(killed)} relays and RabbitMQ twice were killed meanwhile; ", end="")
        eventually(lambda: versions(notifications, client_ids) == {"Version 4"}, seconds=60)
        heard = published(stack, set(client_ids))
        assert {len(events) for events in heard.values()} == {CHANGES}
        assert all(list(e.values()) == sorted(e.values()) for e in heard.values())
        welcomes = count_welcomes(notifications, client_ids)
        assert welcomes == dict.fromkeys(client_ids, 1)
        print_lags(notifications, heard)


def waiting(engine):
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar_one()


def versions(engine, client_ids):
    query = sa.text("SELECT DISTINCT first_name FROM clients WHERE user_id = ANY(:ids)")
    with engine.connect() as connection:
        return set(connection.execute(query, {"ids": client_ids}).scalars())


def count_welcomes(engine, client_ids):
    query = sa.text(
        "SELECT user_id, count(*) FROM notifications"
        " WHERE user_id = ANY(:ids) AND template = 'welcome' GROUP BY user_id"
    )
    with engine.connect() as connection:
        return {row.user_id: row.count for row in connection.execute(query, {"ids": client_ids})}


def print_lags(engine, heard):
    """Print how long after their commit events had their effect."""
    times = {event_id: at for events in heard.values() for event_id, at in events.items()}
    query = sa.text("SELECT event_id, handled_at FROM handled_events WHERE event_id = ANY(:ids)")
    with engine.connect() as connection:
        rows = connection.execute(query, {"ids": list(times)}).all()
    assert len(rows) == len(times)
    lags = sorted((row.handled_at - times[row.event_id]).total_seconds() for row in rows)
    print(f"lag of {len(lags)} events: p50 {lags[len(lags) // 2]:.2f} s, ", end="")
    print(f"p99 {lags[int(len(lags) * 0.99)]:.2f} s, longest {lags[-1]:.2f} s")


def test_poison_ends_in_the_dead_letter_queue_and_can_be_redriven(stack):
    marker = uuid.uuid4().hex
    good = [f"{marker}-{number}" for number in range(1000)]
    kind = events_pb2.UserUpdated.DESCRIPTOR.full_name
    with (
        bus.connection(stack.url("rabbitmq"), "test") as connection,
        engine_of(stack, "notifications") as notifications,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        dead = bus.dead_letter_queue("notifications")
        before = message_count(channel, dead)
        for number, user_id in enumerate(good):
            if number % 50 == 0:
                properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
                channel.basic_publish(bus.EXCHANGE, kind, b"\xff poison", properties)
            data = events_pb2.UserUpdated(
                user_id=user_id, email=f"{user_id}@clients.example", first_name="Good"
            )
            event = build_event(
                data, source="users", subject=user_id, now=datetime.now(UTC), new_id=new_id
            )
            bus.publish(channel, event)
        began = time.monotonic()
        eventually(lambda: versions(notifications, good) == {"Good"})
        eventually(lambda: count_clients(notifications, good) == 1000, seconds=60)
        eventually(lambda: message_count(channel, dead) - before == 20, seconds=30)
        print(f"1,000 good among 20 poison: done {time.monotonic() - began:.1f} s after the last")


def count_clients(engine, client_ids):
    query = sa.text("SELECT count(*) FROM clients WHERE user_id = ANY(:ids)")
    with engine.connect() as connection:
        return connection.execute(query, {"ids": client_ids}).scalar_one()


def message_count(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def test_orders_are_confirmed_while_everything_behind_the_bus_is_down(shop, stack, alice):
    with down(stack, *stack.instances("notifications"), "rabbitmq"):
        order_id = alice.place((shop.add_product(), 1))
        alice.await_status(order_id, "CONFIRMED")
    eventually(lambda: "order_summary" in templates(alice), seconds=30)


def templates(person):
    answer = person.get("/api/notifications")
    listed = answer.json()["notifications"] if answer.status_code == 200 else []
    return [notification["template"] for notification in listed if notification["status"] == "SENT"]
