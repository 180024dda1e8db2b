"""What starts with a stack; and the processes of a runner that died are ended, no other is."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from scripts.stack.credentials import Secrets
from scripts.stack.plan import Plan
from scripts.stack.ports import Ports
from scripts.stack.runner import Runner, clean_up
from scripts.stack.settings import read_settings
from scripts.stack.units import Unit, UnitFailedError
from scripts.tests.test_units import gone
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def sleeper():
    """Yield a process that leads a session, with a child."""
    command = ["sh", "-c", "sleep 600 & echo $!; wait"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    child = int(process.stdout.readline())
    yield process, child
    for pid in (process.pid, child):
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
    process.wait()
    process.stdout.close()


def remember(data, *entries):
    (data / "state.json").write_text(json.dumps(entries))


def born(pid):
    return psutil.Process(pid).create_time()


def test_an_orphan_is_ended_with_its_children(tmp_path, sleeper):
    process, child = sleeper
    remember(tmp_path, (process.pid, born(process.pid)))
    assert clean_up(tmp_path) == 1
    eventually(lambda: gone(process.pid) and gone(child))
    assert not (tmp_path / "state.json").exists()


def test_a_process_that_reuses_an_id_is_not_ended(tmp_path, sleeper):
    process, child = sleeper
    remember(tmp_path, (process.pid, born(process.pid) - 100))
    assert clean_up(tmp_path) == 0
    assert not gone(process.pid)
    assert not gone(child)


def test_processes_that_have_ended_are_not_counted(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    remember(tmp_path, (ended.pid, 1.0))
    assert clean_up(tmp_path) == 0


def test_without_an_earlier_run_no_process_is_ended(tmp_path):
    assert clean_up(tmp_path) == 0


def plan_of(data: Path, *units: Unit) -> Plan:
    """Return a plan of some units and no service."""
    return Plan(
        settings=read_settings(data),
        secrets=Secrets(data / "secrets.json"),
        ports=Ports(data / "ports.json"),
        services=[],
        units=list(units),
    )


def test_the_stack_starts_without_what_is_not_essential(tmp_path):
    broken = Unit(name="prometheus", command=["false"], ready=lambda: False, essential=False)
    working = Unit(name="envoy", command=["sleep", "60"], after=["prometheus"])
    runner = Runner(plan_of(tmp_path, broken, working))
    try:
        runner.start()
        assert runner.healthy.is_set()
        states = {unit["name"]: unit["state"] for unit in runner.describe()["units"]}
        assert states == {"prometheus": "failed", "envoy": "ready"}
    finally:
        runner.stop()


def test_the_stack_does_not_start_without_what_is_essential(tmp_path):
    runner = Runner(plan_of(tmp_path, Unit(name="redis", command=["false"], ready=lambda: False)))
    try:
        with pytest.raises(UnitFailedError, match="redis ended"):
            runner.start()
    finally:
        runner.stop()
