"""The watcher that fills the service registry from Consul."""

import asyncio
import queue

import pytest

from services.common.mesh.consul import ConsulUnavailableError
from services.control_plane.tests.published import ONE, TIMEOUT_SECONDS, TWO, run
from services.control_plane.watcher import Watcher


class ScriptedConsul:
    """Answers blocking queries from queues that the test fills, and records the queries."""

    def __init__(self):
        self.names: queue.Queue = queue.Queue()
        self.instances: dict[str, queue.Queue] = {"catalog": queue.Queue(), "orders": queue.Queue()}
        self.queries = []

    def wait_for_names(self, index):
        return self._next(self.names, "names", index)

    def wait_for_instances(self, name, index):
        return self._next(self.instances[name], name, index)

    def _next(self, answers, what, index):
        self.queries.append((what, index))
        answer = answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def consul():
    return ScriptedConsul()


def watch(consul, scenario):
    async def watched(registry, published):
        Watcher(consul=consul, registry=registry, retry_seconds=0.001).start()
        await scenario(published)

    run(watched)


def test_names_and_instances_are_published(consul):
    async def scenario(published):
        consul.names.put(("1", ["catalog"]))
        consul.instances["catalog"].put(("1", [ONE]))
        await published.until({"catalog": [ONE]})
        consul.instances["catalog"].put(("2", [ONE, TWO]))
        await published.until({"catalog": [ONE, TWO]})
        consul.instances["orders"].put(("5", []))
        consul.names.put(("4", ["catalog", "orders"]))
        await published.until({"catalog": [ONE, TWO], "orders": []})
        assert [index for what, index in consul.queries if what == "catalog"][:2] == [None, "1"]

    watch(consul, scenario)


def test_while_consul_is_unavailable_the_registry_does_not_change(consul, log):
    async def scenario(published):
        consul.names.put(("1", ["catalog"]))
        consul.instances["catalog"].put(("7", [ONE]))
        await published.until({"catalog": [ONE]})
        for _ in range(3):
            consul.instances["catalog"].put(ConsulUnavailableError("gone"))
        consul.instances["catalog"].put(("8", [TWO]))
        await published.until({"catalog": [TWO]})
        assert published.count == 2
        # The next query has no index: Consul may have restarted.
        assert [index for what, index in consul.queries if what == "catalog"][2:5] == [None] * 3

    watch(consul, scenario)
    assert len([line for line in log if line["event"] == "consul_unavailable"]) == 1


def test_after_an_index_that_decreases_the_next_query_has_none(consul):
    async def scenario(published):
        consul.names.put(("9", ["catalog"]))
        for index, instances in (("9", [ONE]), ("3", [TWO]), ("4", [ONE, TWO])):
            consul.instances["catalog"].put((index, instances))
        await published.until({"catalog": [ONE, TWO]})
        indexes = [index for what, index in consul.queries if what == "catalog"]
        assert indexes[:3] == [None, "9", None]

    watch(consul, scenario)


def test_a_result_with_the_same_index_is_not_published(consul):
    async def scenario(published):
        consul.names.put(("1", ["catalog"]))
        for index, instances in (("1", [ONE]), ("1", [ONE]), ("2", [TWO])):
            consul.instances["catalog"].put((index, instances))
        await published.until({"catalog": [TWO]})
        assert published.count == 2

    watch(consul, scenario)


def test_a_service_that_left_consul_is_watched_again_only_when_it_returns(consul):
    async def scenario(published):
        consul.names.put(("1", ["catalog", "orders"]))
        consul.instances["orders"].put(("1", [TWO]))
        consul.instances["catalog"].put(("1", []))
        await published.until({"catalog": [], "orders": [TWO]})
        await queried(consul, ("catalog", "1"))
        consul.names.put(("2", ["orders"]))
        await queried(consul, ("names", "2"))
        consul.instances["catalog"].put(("3", [ONE]))  # its last query ends, and is the last
        consul.names.put(("4", ["catalog", "orders"]))
        await queried(consul, ("names", "4"))
        consul.instances["catalog"].put(("5", [ONE]))
        await published.until({"catalog": [ONE], "orders": [TWO]})
        indexes = [index for what, index in consul.queries if what == "catalog"]
        assert indexes[:3] == [None, "1", None]

    watch(consul, scenario)


def test_the_mesh_changes_after_a_service_has_left_consul_before_it_was_read(consul):
    async def scenario(published):
        consul.names.put(("1", ["catalog"]))
        consul.instances["catalog"].put(("1", [ONE]))
        await published.until({"catalog": [ONE]})
        consul.names.put(("2", ["catalog", "orders"]))
        await queried(consul, ("orders", None))
        consul.names.put(("3", ["catalog"]))
        await queried(consul, ("names", "3"))
        consul.instances["catalog"].put(("4", [TWO]))
        await published.until({"catalog": [TWO]})

    watch(consul, scenario)


async def queried(consul, query):
    """Return when Consul has been asked a query: the result of the one before is applied."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while query not in consul.queries:
            await asyncio.sleep(0.005)
