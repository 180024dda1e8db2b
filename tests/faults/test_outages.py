"""What follows an order is away for a while: orders do not notice, and nothing is lost."""

import email
import email.policy
from functools import partial

import pytest

from tests.e2e.test_notifications import text_of
from tests.faults.faults import down
from tests.support.graph import graph_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

BEHIND = ("recommendations", "neo4j", "notifications", "rabbitmq")
"""All that only what follows an order needs."""
ORDERS = 5
CATCHING_UP_SECONDS = 60


@pytest.fixture
def graph(stack):
    with graph_of(stack) as graph:
        yield graph


def units_of(stack, names):
    """Return the instances of services, and servers as they are named."""
    return [unit for name in names for unit in stack.instances(name) or [name]]


@pytest.mark.parametrize("away", [*((name,) for name in BEHIND), BEHIND], ids="+".join)
def test_orders_are_confirmed_and_what_follows_catches_up(shop, stack, graph, away):
    product = shop.add_product()
    clients = [shop.register() for _ in range(ORDERS)]
    placed = {}
    with down(stack, *units_of(stack, away)):
        for client in clients:
            placed[client] = client.place((product, 1))
            client.await_status(placed[client], "CONFIRMED", seconds=30)
    last = shop.register()
    placed[last] = last.place((product, 1))
    for client, order_id in placed.items():
        told = partial(is_summed_up, client, order_id)
        eventually(told, seconds=CATCHING_UP_SECONDS)
        learnt = partial(has_learnt, graph, client, order_id)
        eventually(learnt, seconds=CATCHING_UP_SECONDS)
    # The last order's events came after all others: whatever was told twice has been heard twice.
    for client, order_id in placed.items():
        assert len(mails_about(stack, client, order_id)) == 1
        assert is_summed_up(client, order_id)
    eventually(lambda: last.get(f"/api/recommendations/{last.user_id}").status_code == 200)


def is_summed_up(client, order_id):
    """Return whether the one order of a client was summed up to them, once."""
    answer = client.get("/api/notifications")
    if answer.status_code != 200:
        return False
    summaries = [n for n in answer.json()["notifications"] if n["template"] == "order_summary"]
    return [n["status"] for n in summaries] == ["SENT"]


def has_learnt(graph, client, order_id):
    return graph.orders_of(client.user_id) == [order_id]


def mails_about(stack, client, order_id):
    """Return the mails to a client that name an order."""
    theirs = [
        email.message_from_bytes(mail, policy=email.policy.default)
        for mail in stack.mails_to(client.email)
    ]
    return [mail for mail in theirs if order_id in text_of(mail)]
