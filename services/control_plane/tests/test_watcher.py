"""The service registry and the watcher that fills it from Consul."""

import asyncio
import queue

import pytest

from services.common.mesh.consul import ConsulUnavailableError, Instance
from services.control_plane.watcher import ServiceRegistry, Watcher

ONE, TWO = Instance("catalog-1", "127.0.0.1", 1), Instance("catalog-2", "127.0.0.1", 2)
TIMEOUT_SECONDS = 10
NEVER = 3600.0
SOON = 0.02


class Published:
    """Records the published services."""

    def __init__(self):
        self.count = 0
        self.last = None
        self._changed = asyncio.Event()

    def __call__(self, services):
        self.count += 1
        self.last = dict(services)
        self._changed.set()

    async def until(self, expected):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.last != expected:
                self._changed.clear()
                await self._changed.wait()


def run(scenario, *, grace_seconds=NEVER):
    """Run a scenario with a registry on an event loop."""

    async def main():
        published = Published()
        registry = ServiceRegistry(published, grace_seconds=grace_seconds)
        await scenario(registry, published)

    asyncio.run(main())


def test_nothing_is_published_before_every_service_is_read():
    async def scenario(registry, published):
        assert registry.set_names(["catalog", "orders"]) == ["catalog", "orders"]
        registry.set_instances("catalog", [ONE])
        assert published.count == 0
        registry.set_instances("orders", [])
        assert published.last == {"catalog": [ONE], "orders": []}

    run(scenario)


def test_an_empty_registry_is_published():
    async def scenario(registry, published):
        registry.set_names([])
        assert published.last == {}

    run(scenario)


def test_only_new_names_are_returned():
    async def scenario(registry, _published):
        registry.set_names(["catalog"])
        assert registry.set_names(["catalog", "orders"]) == ["orders"]

    run(scenario)


def test_a_service_that_left_consul_stays_in_the_registry():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        assert registry.set_names([]) == []
        assert published.last == {"catalog": [ONE]}

    run(scenario)


def test_a_service_that_left_consul_before_it_was_read_holds_nothing_up():
    async def scenario(registry, published):
        registry.set_names(["catalog", "passing"])
        registry.set_instances("catalog", [ONE])
        assert published.count == 0
        registry.set_names(["catalog"])
        assert published.last == {"catalog": [ONE]}
        assert registry.set_names(["catalog", "passing"]) == ["passing"]
        registry.set_instances("passing", [TWO])
        assert published.last == {"catalog": [ONE], "passing": [TWO]}

    run(scenario)


def test_a_new_service_that_is_not_read_yet_holds_no_other_up():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_names(["catalog", "orders"])
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario)


def test_what_is_known_already_is_not_published_again():
    async def scenario(registry, published):
        registry.set_names(["catalog", "orders"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("orders", [])
        assert published.count == 1
        for _ in range(3):
            registry.set_names(["catalog", "orders"])
            registry.set_instances("catalog", [ONE])
            registry.set_instances("orders", [])
        assert published.count == 1

    run(scenario)


def test_one_of_several_instances_is_removed_at_once():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE, TWO])
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario)


def test_the_last_instance_is_not_removed_at_once():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        assert published.last == {"catalog": [ONE]}

    run(scenario)


def test_the_last_instance_is_removed_after_the_grace_period():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        await published.until({"catalog": ()})

    run(scenario, grace_seconds=SOON)


def test_another_empty_result_does_not_extend_the_grace_period():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while published.last == {"catalog": [ONE]}:
                registry.set_instances("catalog", [])
                await asyncio.sleep(0)
        assert published.last == {"catalog": ()}

    run(scenario, grace_seconds=SOON)


def test_an_instance_that_returns_within_the_grace_period_is_not_removed():
    async def scenario(registry, published):
        registry.set_names(["catalog", "other"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("other", [TWO])
        registry.set_instances("catalog", [])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("other", [])
        await published.until({"catalog": [ONE], "other": ()})

    run(scenario, grace_seconds=SOON)


def test_an_instance_that_returns_after_the_grace_period_is_added():
    async def scenario(registry, published):
        registry.set_names(["catalog"])
        registry.set_instances("catalog", [ONE])
        registry.set_instances("catalog", [])
        await published.until({"catalog": ()})
        registry.set_instances("catalog", [TWO])
        assert published.last == {"catalog": [TWO]}

    run(scenario, grace_seconds=SOON)


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
