"""The order in which tasks are run."""

import threading
from functools import partial

import pytest

from services.common.threads.fair_executor import FairExecutor


class Recorder:
    """Tasks that record their lane; they wait until `go` is set."""

    def __init__(self, executor):
        self.ran = []
        self.go = threading.Event()
        self._executor = executor

    def submit(self, lane):
        self._executor.submit(lane, partial(self._run, lane))

    def _run(self, lane):
        assert self.go.wait(10)
        self.ran.append(lane)


@pytest.fixture
def executor():
    executor = FairExecutor(1, "test")
    yield executor
    executor.shutdown()


def test_lanes_take_turns_whoever_came_first(executor):
    tasks, last = Recorder(executor), threading.Event()
    executor.submit("", lambda: tasks.go.wait(10))
    for lane in ["alice"] * 4 + ["bob"] * 2 + ["carol"]:
        tasks.submit(lane)
    executor.submit("alice", last.set)
    tasks.go.set()
    assert last.wait(10)
    assert tasks.ran == ["alice", "bob", "carol", "alice", "bob", "alice", "alice"]


def test_a_lane_that_is_empty_loses_its_place(executor):
    done = threading.Event()
    executor.submit("alice", done.set)
    assert done.wait(10)
    assert not executor._lanes


def test_a_task_that_fails_stops_no_other(executor):
    done = threading.Event()
    executor.submit("alice", lambda: 1 / 0)
    executor.submit("alice", done.set)
    assert done.wait(10)


def test_tasks_that_wait_are_dropped_at_the_shutdown():
    executor = FairExecutor(1, "test")
    tasks, running = Recorder(executor), threading.Event()
    executor.submit("", running.set)
    for lane in ("alice", "bob"):
        tasks.submit(lane)
    assert running.wait(10)
    threading.Timer(0.05, tasks.go.set).start()
    executor.shutdown()
    assert tasks.ran == ["alice"]
    with pytest.raises(RuntimeError):
        executor.submit("alice", running.set)
