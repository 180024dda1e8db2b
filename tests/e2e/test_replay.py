"""scripts/replay on the running shop: the graph that comes out is the one that went in."""

import signal
import subprocess
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from scripts.paths import ROOT
from tests.graph import graph_of
from tests.outage import down
from tests.waiting import eventually

# The log holds what all tests before told; each replay reads all of it.
pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(600)]

PACE_SECONDS = 0.05


@pytest.fixture
def graph(stack):
    with graph_of(stack) as graph:
        yield graph


def replay(stack):
    """Begin to build the graph of the running shop again."""
    command = [ROOT / "scripts" / "replay", "recommendations", "--data", stack.data]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE)


def replayed(stack):
    """Build the graph again, and return when it is."""
    with replay(stack) as process:
        shown, _ = process.communicate(timeout=300)
    assert process.returncode == 0, shown
    assert "graph_rebuilt" in shown


def settle(shop, graph):
    """Return when the graph has learnt what was told until now."""
    last = shop.register()
    order_id = last.place((shop.add_product(), 1))
    eventually(lambda: graph.orders_of(last.user_id) == [order_id], seconds=30)
    eventually(lambda: graph.knows(last.user_id), seconds=30)


def assert_same_graph_after(act, graph):
    """Compare all of the graph before and after `act`.

    An order of some other test may come to rest meanwhile; then once more.
    """

    def compared():
        events, before = graph.events(), graph.all()
        act()
        after, events_after = graph.all(), graph.events()
        assert events <= events_after
        if events < events_after:
            return False
        for part in before:
            assert after[part] == before[part], part
        return True

    eventually(compared, seconds=120)


def buy_and_cancel(shop, person):
    """Order two products twice and cancel the second order; return the first."""
    lines = [(shop.add_product(), 1), (shop.add_product(), 2)]
    kept, given_back = person.place(*lines), person.place(*lines)
    person.await_status(given_back, "CONFIRMED")
    person.post(f"/api/orders/{given_back}/cancel", {"reason": "changed my mind"})
    return kept


def test_the_graph_is_the_same_after_a_replay(shop, stack, graph, alice):
    buy_and_cancel(shop, alice)
    settle(shop, graph)
    assert_same_graph_after(partial(replayed, stack), graph)


@contextmanager
def meanwhile(doing):
    """Do something again and again in a thread; yield the growing list of what it answered."""
    over, answers = threading.Event(), []

    def repeat():
        while not over.wait(PACE_SECONDS):
            answers.append(doing())

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def recommended_to(person):
    """Return how recommendations answer a client, and with how many."""
    answer = person.get(f"/api/recommendations/{person.user_id}")
    return answer.status_code, len(answer.json().get("recommendations", ()))


def test_orders_during_a_replay_are_learnt_once_and_recommendations_keep_answering(
    shop, stack, graph, alice, say
):
    bought = []

    def order():
        bought.append((buyer := shop.register(), buy_and_cancel(shop, buyer)))

    with meanwhile(order), meanwhile(partial(recommended_to, alice)) as answers:
        eventually(lambda: bought)
        replayed(stack)
        say(f"{len(bought)} clients ordered, {len(answers)} answers during a replay")
    assert len(bought) > 1
    assert set(answers) == {(200, 5)}
    settle(shop, graph)
    for buyer, order_id in bought:
        assert graph.orders_of(buyer.user_id) == [order_id] * 2
    assert_same_graph_after(partial(replayed, stack), graph)


def killed_halfway(stack, graph, person):
    """Kill a replay when it has forgotten what somebody bought; tell whether it was in time."""
    with replay(stack) as process:
        eventually(lambda: process.poll() is not None or not graph.orders_of(person.user_id))
        process.kill()
    return process.returncode == -signal.SIGKILL


def test_a_replay_that_was_killed_is_made_good_by_the_next(shop, stack, graph, alice):
    buy_and_cancel(shop, alice)
    settle(shop, graph)

    def kill_and_repeat():
        eventually(lambda: killed_halfway(stack, graph, alice), seconds=60)
        replayed(stack)

    assert_same_graph_after(kill_and_repeat, graph)


@pytest.mark.faults
def test_nothing_is_forgotten_while_the_log_is_away(shop, stack, graph, alice):
    def fail():
        with down(stack, "rabbitmq"), replay(stack) as process:
            shown, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "rebuild_interrupted" in shown
        assert "Traceback" not in shown

    buy_and_cancel(shop, alice)
    settle(shop, graph)
    assert_same_graph_after(fail, graph)


@pytest.mark.faults
def test_a_replay_waits_for_a_graph_that_is_away(shop, stack, graph, alice):
    def wait():
        with replay_without_graph(stack) as process:
            shown, _ = process.communicate(timeout=300)
        assert process.returncode == 0, shown

    buy_and_cancel(shop, alice)
    settle(shop, graph)
    assert_same_graph_after(wait, graph)
    eventually(lambda: recommended_to(alice) == (200, 5), seconds=30)


def replay_without_graph(stack):
    """Begin a replay while the graph is away, which is back when this returns."""
    with down(stack, "neo4j"):
        process = replay(stack)
        assert any("rebuild_retrying" in line for line in process.stdout)
    return process
