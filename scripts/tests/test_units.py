"""The process of a unit: ready, crashed, restarted, held, stopped."""

import os
import signal
import sys
import time

import psutil
import pytest

from scripts.stack.units import MIN_BACKOFF_SECONDS, RunningUnit, Unit, UnitFailedError
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SLEEP = ("sleep", "600")
ENVIRONMENT = {"PATH": os.environ["PATH"]}
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


class Watched:
    """Runs units that are stopped after the test; `states` are those that they reported."""

    def __init__(self, folder):
        self._folder = folder
        self._units = []
        self.times = []

    def unit(self, *command, **options):
        unit = Unit(name="unit", command=command, **options)
        running = RunningUnit(unit, self._folder / "unit.log", self._note, ENVIRONMENT)
        self._units.append(running)
        return running

    def _note(self):
        self.times.append((self._units[-1].state, time.monotonic()))

    @property
    def states(self):
        return [state for state, _ in self.times]

    def stop(self):
        for unit in self._units:
            unit.stop()


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.stop()


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_unit_that_is_ready_runs(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    assert psutil.pid_exists(unit.pid)
    assert watched.states == ["starting", "ready"]


def test_a_unit_is_ready_when_its_probe_succeeds(watched):
    answers = iter([False, ConnectionError(), True])

    def probe():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watched.unit(*SLEEP, ready=probe).start()
    assert next(answers, "asked three times") == "asked three times"


def test_a_unit_that_ends_before_it_is_ready_has_failed_with_its_last_lines(watched):
    unit = watched.unit("sh", "-c", "echo why it failed; exit 3", ready=lambda: False)
    with pytest.raises(UnitFailedError, match=r"unit ended\n  \| why it failed"):
        unit.start()
    assert unit.state == "failed"


def test_a_task_that_succeeds_is_done(watched):
    unit = watched.unit("true", task=True)
    unit.start()
    assert (unit.state, unit.pid) == ("done", None)


def test_a_task_that_fails_is_named_with_its_last_lines(watched):
    unit = watched.unit("sh", "-c", "seq 100; exit 3", task=True)
    with pytest.raises(UnitFailedError) as caught:
        unit.start()
    first, *lines = str(caught.value).splitlines()
    assert first == "unit ended with status 3"
    assert lines == [f"  | {number}" for number in range(86, 101)]


def test_a_process_that_crashes_is_restarted(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    before = unit.pid
    unit.kill(signal.SIGKILL)
    eventually(lambda: unit.state == "ready" and unit.restarts == 1)
    assert unit.pid != before
    assert watched.states == ["starting", "ready", "crashed", "starting", "ready"]


def test_the_backoff_grows_with_each_crash(watched):
    unit = watched.unit("false")
    unit.start()
    eventually(lambda: watched.states.count("starting") == 3)
    crashed = [at for state, at in watched.times if state == "crashed"]
    started = [at for state, at in watched.times if state == "starting"]
    first, second = started[1] - crashed[0], started[2] - crashed[1]
    assert first >= MIN_BACKOFF_SECONDS
    assert second >= 2 * MIN_BACKOFF_SECONDS


def test_a_process_that_is_held_is_not_restarted_until_it_is_resumed(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    unit.hold()
    unit.kill(signal.SIGKILL)
    eventually(lambda: unit.state == "crashed")
    assert unit.pid is None
    unit.resume()
    eventually(lambda: unit.state == "ready" and unit.pid)


def test_a_process_that_is_held_can_be_stopped(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    unit.hold()
    unit.kill(signal.SIGKILL)
    eventually(lambda: unit.state == "crashed")
    unit.stop()
    assert unit.state == "stopped"


def test_the_children_of_a_process_that_dies_are_killed(watched, tmp_path):
    unit = watched.unit(sys.executable, "-c", STUBBORN)
    unit.start()
    child = int(eventually(lambda: (tmp_path / "unit.log").read_text().strip()))
    unit.hold()
    os.kill(unit.pid, signal.SIGKILL)
    eventually(lambda: gone(child))


def test_stopping_ends_the_process(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    pid = unit.pid
    unit.stop()
    assert gone(pid)
    assert watched.states[-2:] == ["stopping", "stopped"]


def test_stopping_kills_a_process_that_ignores_sigterm_and_its_children(watched, tmp_path):
    unit = watched.unit(sys.executable, "-c", STUBBORN, stop_seconds=0.2)
    unit.start()
    child = int(eventually(lambda: (tmp_path / "unit.log").read_text().strip()))
    pid = unit.pid
    unit.stop()
    eventually(lambda: gone(pid) and gone(child))


def test_a_process_has_a_session_of_its_own(watched):
    unit = watched.unit(*SLEEP)
    unit.start()
    assert os.getsid(unit.pid) == unit.pid != os.getsid(0)


def test_a_process_has_no_variable_of_the_developer(watched, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
    watched.unit("env", task=True, environment={"MAMIE_PORT": "8001"}).start()
    lines = (tmp_path / "unit.log").read_text().splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == ["MAMIE_PORT", "PATH"]


def test_a_unit_that_never_started_can_be_stopped(watched):
    unit = watched.unit(*SLEEP)
    unit.stop()
    assert (unit.state, unit.pid) == ("stopped", None)
