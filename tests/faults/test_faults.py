"""The faults themselves, on a stack of one process tree."""

import subprocess
import sys
from typing import Any

import psutil
import pytest

from tests.faults.faults import frozen, killing, units_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

PARENT_AND_CHILD = """
import subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


class OneUnit:
    """A stack whose only unit is one process."""

    def __init__(self, pid):
        self._pid = pid
        self.killed = []

    def unit(self, name):
        return {"name": name, "state": "ready", "pid": self._pid}

    def instances(self, service):
        return ["catalog-1", "catalog-2"] if service == "catalog" else []

    def kill(self, unit):
        self.killed.append(unit)


def build_stack(pid) -> Any:
    return OneUnit(pid)


@pytest.fixture
def tree():
    """Yield the processes of a parent and of its child, which leads another session."""
    command = [sys.executable, "-c", PARENT_AND_CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        yield [psutil.Process(parent.pid), child]
        for process in (parent, child):
            process.kill()


def are_stopped(processes):
    return [process.status() == psutil.STATUS_STOPPED for process in processes]


def test_a_frozen_unit_stops_with_its_children_and_goes_on_after_the_block(tree):
    with frozen(build_stack(tree[0].pid), "server"):
        eventually(lambda: all(are_stopped(tree)))
    eventually(lambda: not any(are_stopped(tree)))


def test_a_unit_that_is_killed_while_it_is_frozen_ends_the_block_without_an_error(tree):
    with frozen(build_stack(tree[0].pid), "server"):
        for process in tree:
            process.kill()


def test_a_part_is_all_instances_of_a_service_or_one_unit():
    parts = ("catalog", "catalog-2", "rabbitmq")
    assert units_of(build_stack(0), *parts) == ["catalog-1", "catalog-2", "catalog-2", "rabbitmq"]


def test_rounds_of_kills_end_with_the_block():
    stack = build_stack(0)
    endless = iter(lambda: ("catalog-1", "rabbitmq"), None)
    with killing(stack, endless, every_seconds=0.001) as killed:
        eventually(lambda: len(killed) > 2)
    assert stack.killed == ["catalog-1", "rabbitmq"] * len(killed)
