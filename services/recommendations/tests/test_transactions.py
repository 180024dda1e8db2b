"""How long a call waits for a graph that does not answer."""

import time
from functools import partial

import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.recommendations import cypher
from services.recommendations.graph import rows
from services.recommendations.repository import BoltRecommendationsRepository, connect
from services.recommendations.tests.fakes import NOW
from services.recommendations.transactions import Transactions
from tests.support.freezing_proxy import freezing_proxy

pytestmark = pytest.mark.integration

CALLS = [
    lambda graph: graph.ping(),
    lambda graph: graph.load_candidates("alice", 5),
    lambda graph: graph.upsert_products([], NOW),
]


@pytest.fixture
def proxy(store, graph_url):
    with freezing_proxy(graph_url) as proxy:
        yield proxy


@pytest.fixture
def driver(proxy):
    driver, database = connect(proxy.url)
    with driver:
        yield driver, database
        proxy.thaw()


def seconds_until_unavailable(call, seconds=None):
    """Return how long a call takes that fails; `seconds` are left until its deadline."""
    begun = time.monotonic()
    context = CallContext(deadline=None if seconds is None else begun + seconds)
    with use(context), pytest.raises(StoreUnavailableError):
        call()
    return time.monotonic() - begun


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "new"])
def test_a_frozen_server_is_awaited_until_the_deadline_of_the_call(driver, proxy, call, connected):
    graph = BoltRecommendationsRepository(*driver)
    if connected:
        call(graph)
    proxy.freeze()
    assert seconds_until_unavailable(partial(call, graph), 0.3) < 1.0


@pytest.mark.parametrize("seconds", [0.3, None], ids=["with a deadline", "without"])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_server_that_freezes_within_a_transaction_is_not_awaited_for_ever(
    driver, proxy, kind, seconds
):
    def work(tx):
        rows(tx, cypher.PING)
        proxy.freeze()
        rows(tx, cypher.PING)

    run = partial(getattr(Transactions(*driver), kind), work, limit_seconds=0.5)
    assert seconds_until_unavailable(run, seconds) < 1.5


def test_a_server_that_freezes_before_the_commit_is_not_awaited_for_ever(driver, proxy):
    def work(tx):
        rows(tx, cypher.PING)
        proxy.freeze()

    run = partial(Transactions(*driver).write, work, limit_seconds=0.5)
    assert seconds_until_unavailable(run) < 1.5


def test_nothing_is_begun_when_the_deadline_is_over(driver, graph):
    store = BoltRecommendationsRepository(*driver)
    train = partial(store.train, "alice", [], NOW)
    assert seconds_until_unavailable(train, 0.0) < 0.1
    (row,) = graph("MATCH (c:Client) RETURN count(c) AS n")
    assert row["n"] == 0


def test_a_thawed_server_is_used_again(driver, proxy):
    graph = BoltRecommendationsRepository(*driver)
    graph.ping()
    proxy.freeze()
    seconds_until_unavailable(graph.ping, 0.1)
    proxy.thaw()
    graph.ping()
