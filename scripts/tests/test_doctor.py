"""The checks of scripts/doctor, each with what is good and what is not, and its report."""

import json
import os
import re
import socket
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from scripts.edge.certificate import LIFE, ensure_certificate
from scripts.operations import doctor, machine_checks, mesh_checks, store_checks
from scripts.operations.findings import Finding, Level, good, run_checks, warning, wrong
from scripts.paths import ROOT
from scripts.stack.folder import take_folder
from services.common.messaging import rabbitmq

NOW = datetime.now(UTC)
GB = 10**9
RECORDED = Path(__file__).with_name("recorded") / "envoy" / "clusters.json"
POSTGRES = "postgresql://mamie:secret@127.0.0.1:5432/users"


def levels(findings):
    return [finding.level for finding in findings]


def level(findings):
    (finding,) = findings
    return finding.level


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove the settings of the shell."""
    for name in [name for name in os.environ if name.startswith("MAMIE_")]:
        monkeypatch.delenv(name)


def clusters():
    return json.loads(RECORDED.read_text())["cluster_statuses"]


def test_what_is_not_good_needs_a_cure_and_only_that():
    for make in (lambda: wrong("a", "b", ""), lambda: Finding("a", Level.GOOD, "b", "c")):
        with pytest.raises(ValueError, match="cure"):
            make()


def test_findings_keep_the_order_of_their_checks():
    checks = [lambda name=name: [good(name, "")] for name in "abcdefghijkl"]
    assert [finding.check for finding in run_checks(checks)] == list("abcdefghijkl")


@pytest.mark.parametrize(
    ("count", "load", "expected"),
    [(2, 1, Level.GOOD), (1, 0, Level.WARNING), (2, 9, Level.WARNING)],
)
def test_cpus(count, load, expected):
    assert level(machine_checks.check_cpus(count, load)) is expected


@pytest.mark.parametrize(
    ("available", "is_running", "expected"),
    [
        (3 * GB, False, Level.GOOD),
        (2 * GB, False, Level.WRONG),
        (GB, True, Level.GOOD),
        (GB // 10, True, Level.WRONG),
    ],
)
def test_memory_is_judged_by_whether_the_shop_already_has_its_share(
    available, is_running, expected
):
    findings = machine_checks.check_memory(4 * GB, available, is_running=is_running)
    assert level(findings) is expected


@pytest.mark.parametrize(
    ("free", "expected"), [(9 * GB, Level.GOOD), (2 * GB, Level.WARNING), (GB // 2, Level.WRONG)]
)
def test_disk(free, expected, tmp_path):
    assert level(machine_checks.check_disk(free, tmp_path)) is expected


@pytest.mark.parametrize(
    ("version", "stamp", "expected"),
    [
        ((3, 12), "pins", Level.GOOD),
        ((3, 12), "older pins", Level.WARNING),
        ((3, 12), None, Level.WARNING),
        ((3, 10), "pins", Level.WRONG),
        ((3, 14), "pins", Level.WRONG),
    ],
)
def test_python_and_its_packages(tmp_path, version, stamp, expected):
    locks, installed = tmp_path / "locks", tmp_path / "installed"
    locks.mkdir()
    installed.mkdir()
    (locks / "servers.txt").write_text("pins")
    if stamp:
        (installed / "servers.stamp").write_text(stamp)
    assert level(machine_checks.check_python(version, locks, installed)) is expected


def test_a_program_that_is_missing_is_named(tmp_path):
    programs = {"Envoy": tmp_path, "Consul": tmp_path / "none", "RabbitMQ": None}
    findings = list(machine_checks.check_programs(programs))
    assert levels(findings) == [Level.WRONG] * 2
    assert "Consul" in findings[0].text
    assert level(machine_checks.check_programs({"Envoy": tmp_path})) is Level.GOOD


def test_a_port_that_is_taken_is_named_with_its_owner():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (finding,) = machine_checks.check_ports({"http": port})
    assert finding.level is Level.WRONG
    assert f"{port} of http is taken by process {os.getpid()}" in finding.text
    assert level(machine_checks.check_ports({"http": port})) is Level.GOOD


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(0), Level.GOOD),
        (LIFE - timedelta(days=3), Level.WARNING),
        (LIFE + timedelta(days=1), Level.WRONG),
        (-timedelta(days=1), Level.WRONG),
    ],
)
def test_a_certificate_is_judged_by_its_validity(tmp_path, after, expected):
    certificate, _ = ensure_certificate(tmp_path)
    assert level(machine_checks.check_certificate(certificate, NOW + after)) is expected


def test_a_broken_certificate_is_wrong_and_none_is_nothing(tmp_path):
    file = tmp_path / "cert.pem"
    assert list(machine_checks.check_certificate(file, NOW)) == []
    file.write_text("no PEM")
    assert level(machine_checks.check_certificate(file, NOW)) is Level.WRONG


def unit(name, state="ready", restarts=0):
    return {"name": name, "state": state, "restarts": restarts}


def test_processes_that_ended_or_were_restarted_are_named():
    units = [unit("a"), unit("b", "crashed"), unit("c", restarts=2), unit("d", "done")]
    crashed, restarted = mesh_checks.check_units(units)
    assert (crashed.level, crashed.cure) == (Level.WRONG, "scripts/logs b")
    assert (restarted.level, "2 times" in restarted.text) == (Level.WARNING, True)
    assert level(mesh_checks.check_units(units[:1])) is Level.GOOD


def test_instances_that_envoy_does_not_know_or_still_lists_are_named():
    registered = {"catalog": {"127.0.0.1:38173"}, "users": {"127.0.0.1:8001"}}
    texts = [finding.text for finding in mesh_checks.compare_endpoints(registered, clusters())]
    assert texts == [
        "Envoy still lists 127.0.0.1:44343 of catalog",
        "127.0.0.1:44343 of catalog is ejected: its calls failed",
        "Envoy does not know 127.0.0.1:8001 of users",
    ]


def test_envoy_and_consul_agree():
    recorded = [cluster for cluster in clusters() if cluster["name"] != "users"]
    del recorded[1]["host_statuses"][1]
    findings = mesh_checks.compare_endpoints({"catalog": {"127.0.0.1:38173"}}, recorded)
    assert level(findings) is Level.GOOD


@pytest.mark.parametrize(
    ("skew", "expected"),
    [(0, [Level.GOOD]), (30, [Level.GOOD, Level.WRONG]), (-30, [Level.GOOD, Level.WRONG])],
)
def test_the_clock_of_a_store_is_compared_with_ours(skew, expected):
    findings = store_checks.check_store(
        "store of users", POSTGRES, lambda _: 1000.0 + skew, now=lambda: 1000.0
    )
    assert levels(findings) == expected


def test_a_store_that_does_not_answer_is_wrong_and_its_password_is_not_shown():
    def fail(_url):
        raise ConnectionRefusedError(POSTGRES)

    (finding,) = store_checks.check_store("store of users", POSTGRES, fail)
    assert finding.level is Level.WRONG
    assert "scripts/logs postgres" in finding.cure
    assert "secret" not in f"{finding.text}{finding.cure}"


def test_a_store_without_a_clock_is_good_when_it_answers():
    assert level(store_checks.check_store("graph", "bolt://127.0.0.1:1", lambda _: None)) is (
        Level.GOOD
    )


def test_dead_letters_and_long_queues_are_warnings():
    dead, queue = rabbitmq.dead_letter_queue("notifications"), "mamie_rosa.notifications"
    assert levels(store_checks.judge_queue("notifications", dead, 1)) == [Level.WARNING]
    assert levels(store_checks.judge_queue("notifications", dead, 0)) == []
    assert levels(store_checks.judge_queue("notifications", queue, 10)) == []
    assert levels(store_checks.judge_queue("notifications", queue, 5000)) == [Level.WARNING]


def test_every_kind_of_store_has_a_check():
    stores = {
        "users": POSTGRES,
        "orders": "mongodb://127.0.0.1:1/orders",
        "promotions": "redis://127.0.0.1:1/0",
        "recommendations": "bolt://127.0.0.1:1/shop",
    }
    checks = store_checks.store_checks(stores, {"rabbitmq": "", "smtp": ""})
    assert len(checks) == len(stores) + 2


def cures():
    """Return the texts of the modules of scripts/doctor, where all cures are."""
    modules = (doctor, machine_checks, mesh_checks, store_checks)
    return "".join(Path(str(module.__file__)).read_text() for module in modules)


def test_cures_name_commands_and_sections_of_the_runbook_that_exist():
    runbook = (ROOT / "docs" / "runbook.md").read_text().lower()
    commands = set(re.findall(r"scripts/[a-z]+", cures()))
    sections = set(re.findall(r"docs/runbook\.md, ([a-z ]+)", cures()))
    assert {"scripts/up", "scripts/redrive"} <= commands
    assert [name for name in commands if not (ROOT / name).exists()] == []
    assert len(sections) >= 4
    assert [name for name in sections if f"\n## {name}\n" not in runbook] == []


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("postgresql://h:1/users", "postgres"),
        ("postgres://h:1/users", "postgres"),
        ("mongodb+srv://h/orders", "mongodb"),
        ("rediss://h:1/0", "redis"),
        ("neo4j+s://h:1/shop", "neo4j"),
        ("bolt://h:1/shop", "neo4j"),
    ],
)
def test_a_store_of_ones_own_is_known_by_its_url(url, server):
    def fail(_url):
        raise TimeoutError

    assert f"scripts/logs {server};" in next(store_checks.check_store("store", url, fail)).cure
    assert (store_checks._clock_of(url) is store_checks._ask_graph) == (server == "neo4j")


def report(*findings):
    shown = StringIO()
    status = doctor.report(findings, Console(file=shown, soft_wrap=True))
    return status, shown.getvalue()


def test_the_exit_status_is_1_when_something_is_wrong_and_each_cure_is_shown():
    findings = [good("disk", "much"), warning("CPU", "1", "buy one"), wrong("bus", "[b]", "mend")]
    status, shown = report(*findings)
    assert status == 1
    assert "cure: buy one" in shown
    assert "cure: mend" in shown
    assert "[b]" in shown
    assert shown.endswith("1 wrong, 1 warnings\n")


def test_warnings_alone_are_no_failure():
    assert report(good("disk", "much"), warning("CPU", "1", "buy one"))[0] == 0


def test_a_shop_that_does_not_run_is_one_finding_that_says_how_to_start_it(tmp_path, capsys):
    assert doctor.main(["--data", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "not running\n" in shown
    assert "cure: scripts/up\n" in shown


def test_a_runner_that_does_not_answer_is_not_called_missing(tmp_path):
    with take_folder(tmp_path):
        finding = doctor.find(tmp_path)[-1]
    assert "its runner hangs" in finding.text
