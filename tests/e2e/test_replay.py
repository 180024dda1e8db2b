"""scripts/replay on the running shop: the rebuilt graph equals the one before; no second mail."""

import signal
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from mamie_rosa.events.v1 import events_pb2

from scripts.paths import ROOT
from services.common.clock import new_id
from services.common.messaging import rabbitmq
from services.common.messaging.events import build_event
from tests.faults.faults import down
from tests.support.concurrency import repeating
from tests.support.notifications_store import NotificationsStore
from tests.support.recommendations_graph import open_graph
from tests.support.stores import open_store
from tests.support.waiting import eventually

# Each replay reads the whole log, with the events of all earlier tests.
pytestmark = [pytest.mark.e2e, pytest.mark.early, pytest.mark.local, pytest.mark.timeout(600)]


@pytest.fixture
def graph(stack):
    with open_graph(stack) as graph:
        yield graph


@pytest.fixture
def notifications_store(stack):
    with open_store(stack, "notifications") as engine:
        yield NotificationsStore(engine)


def start_replay(stack):
    """Start a rebuild of the graph of the running shop."""
    command = [ROOT / "scripts" / "replay", "recommendations", "--data", stack.data]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE)


def replay(stack):
    """Rebuild the graph."""
    with start_replay(stack) as process:
        shown, _ = process.communicate(timeout=300)
    assert process.returncode == 0, shown
    assert "graph_rebuilt" in shown


def await_graph(shop, graph):
    """Return when all events that are published until now have had their effect."""
    last = shop.register()
    order_id = last.place((shop.add_product(), 1))
    eventually(lambda: graph.orders_of(last.user_id) == [order_id], seconds=30)
    eventually(lambda: graph.has_account(last.user_id), seconds=30)


def assert_same_graph_after(act, graph):
    """Compare the whole graph before and after `act`.

    Once more when events of other tests had their effect meanwhile.
    """

    def compared():
        events, before = graph.processed_events(), graph.snapshot()
        act()
        after, events_after = graph.snapshot(), graph.processed_events()
        assert events <= events_after
        if events < events_after:
            return False
        for part in before:
            assert after[part] == before[part], part
        return True

    eventually(compared, seconds=120)


def buy_and_cancel(shop, customer):
    """Order two products twice and cancel the second order; return the first."""
    lines = [(shop.add_product(), 1), (shop.add_product(), 2)]
    kept = customer.place(*lines)
    customer.cancel(customer.buy(*lines))
    return kept


def test_the_graph_is_the_same_after_a_replay(shop, stack, graph, customer):
    buy_and_cancel(shop, customer)
    await_graph(shop, graph)
    assert_same_graph_after(partial(replay, stack), graph)


def count_recommendations(customer):
    """Return (HTTP status, count) of a customer's recommendations."""
    answer = customer.get(f"/api/recommendations/{customer.user_id}")
    return answer.status_code, len(answer.json().get("recommendations", ()))


def test_orders_during_a_replay_count_once_and_recommendations_stay_available(
    shop, stack, graph, customer, say
):
    bought = []

    def order():
        bought.append((buyer := shop.register(), buy_and_cancel(shop, buyer)))

    with repeating(order), repeating(partial(count_recommendations, customer)) as answers:
        eventually(lambda: bought)
        replay(stack)
        say(f"{len(bought)} customers ordered, {len(answers)} answers during a replay")
    assert len(bought) > 1
    assert set(answers) == {(200, 5)}
    await_graph(shop, graph)
    for buyer, order_id in bought:
        assert graph.orders_of(buyer.user_id) == [order_id] * 2
    assert_same_graph_after(partial(replay, stack), graph)


def kill_halfway(stack, graph, customer):
    """Kill a replay after it deleted a customer's purchases; return whether it was in time."""
    with start_replay(stack) as process:
        eventually(lambda: process.poll() is not None or not graph.orders_of(customer.user_id))
        process.kill()
    return process.returncode == -signal.SIGKILL


def test_a_replay_completes_what_a_killed_one_left(shop, stack, graph, customer):
    buy_and_cancel(shop, customer)
    await_graph(shop, graph)

    def kill_and_repeat():
        eventually(lambda: kill_halfway(stack, graph, customer), seconds=60)
        replay(stack)

    assert_same_graph_after(kill_and_repeat, graph)


@pytest.mark.faults
def test_a_replay_deletes_nothing_while_the_log_is_unavailable(shop, stack, graph, customer):
    def fail():
        with down(stack, "rabbitmq"), start_replay(stack) as process:
            shown, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "rebuild_interrupted" in shown
        assert "Traceback" not in shown

    buy_and_cancel(shop, customer)
    await_graph(shop, graph)
    assert_same_graph_after(fail, graph)


@pytest.mark.faults
def test_a_replay_waits_for_an_unavailable_graph(shop, stack, graph, customer):
    def wait():
        with replay_without_graph(stack) as process:
            shown, _ = process.communicate(timeout=300)
        assert process.returncode == 0, shown

    buy_and_cancel(shop, customer)
    await_graph(shop, graph)
    assert_same_graph_after(wait, graph)
    eventually(lambda: count_recommendations(customer) == (200, 5), seconds=30)


def replay_without_graph(stack):
    """Start a replay while the graph is down; the graph is up again when this returns."""
    with down(stack, "neo4j"):
        process = start_replay(stack)
        assert any("rebuild_retrying" in line for line in process.stdout)
    return process


def test_notifications_catch_up_with_what_they_missed_and_mail_nothing_twice(
    shop, stack, notifications_store
):
    before, missed = shop.register(), uuid.uuid4().hex
    eventually(lambda: stack.mails_to(before.email), seconds=30)
    begun = datetime.now(UTC) - timedelta(minutes=1)
    publish_to_log_alone(stack, user_id=missed)
    command = [str(ROOT / "scripts" / "replay"), "notifications", "--data", str(stack.data)]
    for _ in range(2):
        subprocess.run([*command, "--since", begun.isoformat()], check=True, timeout=300)
    eventually(lambda: stack.mails_to(f"{missed}@customers.example"), seconds=30)
    users = [before.user_id, missed]
    assert notifications_store.welcome_counts(users) == dict.fromkeys(users, 1)
    assert len(stack.mails_to(before.email)) == 1
    assert len(stack.mails_to(f"{missed}@customers.example")) == 1


def publish_to_log_alone(stack, *, user_id):
    """Publish that a customer registered, as if notifications had had no queue then."""
    message = events_pb2.UserCreated(
        user_id=user_id, email=f"{user_id}@customers.example", notifications_enabled=True
    )
    event = build_event(
        message, source="users", subject=user_id, now=datetime.now(UTC), new_id=new_id
    )
    with rabbitmq.connection(stack.url("rabbitmq"), "test") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = rabbitmq.build_properties(event)
        channel.basic_publish("", rabbitmq.EVENT_LOG, event.data, properties, mandatory=True)
