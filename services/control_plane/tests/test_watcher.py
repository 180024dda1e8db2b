"""What is believed of what Consul says, and when."""

import asyncio
import queue

import pytest

from services.common.mesh.consul import ConsulUnavailableError, Instance
from services.control_plane.watcher import Mesh, Watcher

ONE, TWO = Instance("catalog-1", "127.0.0.1", 1), Instance("catalog-2", "127.0.0.1", 2)
PATIENCE_SECONDS = 10
NEVER = 3600.0
SOON = 0.02


class Told:
    """Keeps what the mesh was last said to be."""

    def __init__(self):
        self.times = 0
        self.last = None
        self._changed = asyncio.Event()

    def __call__(self, services):
        self.times += 1
        self.last = dict(services)
        self._changed.set()

    async def until(self, expected):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.last != expected:
                self._changed.clear()
                await self._changed.wait()


def run(scenario, *, grace_seconds=NEVER):
    """Run a scenario with a mesh on an event loop."""

    async def main():
        told = Told()
        await scenario(Mesh(told, grace_seconds=grace_seconds), told)

    asyncio.run(main())


def test_nothing_is_said_before_all_is_known():
    async def scenario(mesh, told):
        assert mesh.set_names(["catalog", "orders"]) == ["catalog", "orders"]
        mesh.set_instances("catalog", [ONE])
        assert told.times == 0
        mesh.set_instances("orders", [])
        assert told.last == {"catalog": [ONE], "orders": []}

    run(scenario)


def test_a_mesh_without_services_is_known_too():
    async def scenario(mesh, told):
        mesh.set_names([])
        assert told.last == {}

    run(scenario)


def test_only_new_names_are_to_be_followed():
    async def scenario(mesh, _told):
        mesh.set_names(["catalog"])
        assert mesh.set_names(["catalog", "orders"]) == ["orders"]

    run(scenario)


def test_a_service_that_goes_keeps_its_name():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE])
        assert mesh.set_names([]) == []
        assert told.last == {"catalog": [ONE]}

    run(scenario)


def test_an_instance_that_goes_is_believed_at_once():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE, TWO])
        mesh.set_instances("catalog", [TWO])
        assert told.last == {"catalog": [TWO]}

    run(scenario)


def test_that_nobody_is_left_is_not_believed_at_once():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE])
        mesh.set_instances("catalog", [])
        assert told.last == {"catalog": [ONE]}

    run(scenario)


def test_that_nobody_is_left_is_believed_after_the_grace_period():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE])
        mesh.set_instances("catalog", [])
        await told.until({"catalog": ()})

    run(scenario, grace_seconds=SOON)


def test_hearing_again_that_nobody_is_left_does_not_prolong_the_grace_period():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while told.last == {"catalog": [ONE]}:
                mesh.set_instances("catalog", [])
                await asyncio.sleep(0)
        assert told.last == {"catalog": ()}

    run(scenario, grace_seconds=SOON)


def test_who_comes_back_within_the_grace_period_was_never_away():
    async def scenario(mesh, told):
        mesh.set_names(["catalog", "other"])
        mesh.set_instances("catalog", [ONE])
        mesh.set_instances("other", [TWO])
        mesh.set_instances("catalog", [])
        mesh.set_instances("catalog", [ONE])
        mesh.set_instances("other", [])
        await told.until({"catalog": [ONE], "other": ()})

    run(scenario, grace_seconds=SOON)


def test_who_comes_back_later_is_back():
    async def scenario(mesh, told):
        mesh.set_names(["catalog"])
        mesh.set_instances("catalog", [ONE])
        mesh.set_instances("catalog", [])
        await told.until({"catalog": ()})
        mesh.set_instances("catalog", [TWO])
        assert told.last == {"catalog": [TWO]}

    run(scenario, grace_seconds=SOON)


class ScriptedConsul:
    """Answers its blocking queries with what the test puts into them, and keeps the indexes."""

    def __init__(self):
        self.names: queue.Queue = queue.Queue()
        self.instances: dict[str, queue.Queue] = {"catalog": queue.Queue(), "orders": queue.Queue()}
        self.asked = []

    def wait_for_names(self, index):
        return self._next(self.names, "names", index)

    def wait_for_instances(self, name, index):
        return self._next(self.instances[name], name, index)

    def _next(self, answers, what, index):
        self.asked.append((what, index))
        answer = answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def consul():
    return ScriptedConsul()


def watch(consul, scenario):
    async def watched(mesh, told):
        Watcher(consul=consul, mesh=mesh, retry_seconds=0.001).start()
        await scenario(told)

    run(watched)


def test_names_and_instances_are_followed(consul):
    async def scenario(told):
        consul.names.put(("1", ["catalog"]))
        consul.instances["catalog"].put(("1", [ONE]))
        await told.until({"catalog": [ONE]})
        consul.instances["catalog"].put(("2", [ONE, TWO]))
        await told.until({"catalog": [ONE, TWO]})
        consul.instances["orders"].put(("5", []))
        consul.names.put(("4", ["catalog", "orders"]))
        await told.until({"catalog": [ONE, TWO], "orders": []})
        assert [index for what, index in consul.asked if what == "catalog"][:2] == [None, "1"]

    watch(consul, scenario)


def test_while_consul_is_away_the_last_word_stands(consul, log):
    async def scenario(told):
        consul.names.put(("1", ["catalog"]))
        consul.instances["catalog"].put(("7", [ONE]))
        await told.until({"catalog": [ONE]})
        for _ in range(3):
            consul.instances["catalog"].put(ConsulUnavailableError("gone"))
        consul.instances["catalog"].put(("8", [TWO]))
        await told.until({"catalog": [TWO]})
        assert told.times == 2
        # Afterwards it is asked from the start: it may have begun anew.
        assert [index for what, index in consul.asked if what == "catalog"][2:5] == [None] * 3

    watch(consul, scenario)
    assert len([line for line in log if line["event"] == "consul_unavailable"]) == 1


def test_an_index_that_goes_back_means_to_ask_from_the_start(consul):
    async def scenario(told):
        consul.names.put(("9", ["catalog"]))
        for index, instances in (("9", [ONE]), ("3", [TWO]), ("4", [ONE, TWO])):
            consul.instances["catalog"].put((index, instances))
        await told.until({"catalog": [ONE, TWO]})
        asked = [index for what, index in consul.asked if what == "catalog"]
        assert asked[:3] == [None, "9", None]

    watch(consul, scenario)


def test_an_answer_without_news_changes_nothing(consul):
    async def scenario(told):
        consul.names.put(("1", ["catalog"]))
        for index, instances in (("1", [ONE]), ("1", [ONE]), ("2", [TWO])):
            consul.instances["catalog"].put((index, instances))
        await told.until({"catalog": [TWO]})
        assert told.times == 2

    watch(consul, scenario)
