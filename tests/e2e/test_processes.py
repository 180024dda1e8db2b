"""The processes of a running stack: their environments hold what they need, and no more."""

import json
import re
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from scripts.stack.client import Stack
from scripts.stack.readiness import is_serving
from tests.support import hostile
from tests.support.commands import run_script

pytestmark = [pytest.mark.e2e, pytest.mark.local]

OURS = re.compile(
    r"PATH|HOME|LANG|TZ|TMPDIR|PYTHONPATH|MAMIE_\w+|ERL_EPMD_\w+|BINDIR|EMU|PROGNAME|ROOTDIR|PWD"
)
EXPECTED = {"neo4j": {"bolt"}, "recommendations": {"bolt"}}
"""The secrets of units, but for those of PostgreSQL: each service has its own."""


def processes(stack: Stack) -> Iterator[tuple[str, psutil.Process]]:
    """Yield every process of the stack but the runner, with the name of its unit."""
    for unit in stack.describe()["units"]:
        if unit["pid"]:
            parent = psutil.Process(unit["pid"])
            for process in (parent, *parent.children(recursive=True)):
                yield unit["name"], process


def shown(process: psutil.Process) -> str:
    """Return the environment and the command line of a process, which `ps` can show."""
    try:
        return "\n".join([*process.cmdline(), *process.environ().values()])
    except psutil.NoSuchProcess:  # a worker of PostgreSQL, which ends with its connection
        return ""


@pytest.fixture
def secrets(stack) -> Mapping[str, str]:
    """Return all secrets of the stack, by name."""
    return json.loads((Path(stack.data) / "secrets.json").read_text())


def test_each_process_has_its_own_secrets_only(stack, secrets):
    seen = 0
    for unit, process in processes(stack):
        service = re.sub(r"-\d+$", "", unit)
        text = shown(process)
        found = {
            name for name, secret in secrets.items() if secret in text or quote(secret) in text
        }
        assert found <= EXPECTED.get(service, {f"postgres-{service}"}), unit
        seen += bool(found)
    assert seen >= 5


def test_no_process_has_a_variable_of_the_developer(stack):
    for unit, process in processes(stack):
        try:
            names = process.environ()
        except psutil.NoSuchProcess:
            continue
        assert not names.items() & hostile.VARIABLES.items(), unit
        if unit != "rabbitmq":  # its script sets dozens of its own
            assert [name for name in names if name and not OURS.fullmatch(name)] == [], unit


def test_an_instance_says_to_which_upstreams_it_is_connected(stack):
    for instance, upstreams in (
        ("orders-1", ("catalog", "payments", "promotions")),
        ("catalog-1", ("orders", "promotions")),
        ("storefront-1", ("orders", "promotions", "recommendations", "users")),
    ):
        address = stack.address(instance)
        assert all(is_serving(address, f"upstream/{upstream}") for upstream in upstreams)


def cpu_seconds() -> float:
    """Return the CPU time of all commands that were run: a busy machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_start_on_the_same_folder_is_refused_in_one_line(stack):
    before = cpu_seconds()
    status, printed = run_script(stack, "up", "--detach")
    assert (status, printed.count("\n")) == (1, 1)
    assert "a stack runs on" in printed
    assert cpu_seconds() - before < 5
