"""What is configured for Prometheus: with the stack's addresses, and with metrics that exist."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.monitoring.check import anchor, untested, without_section
from scripts.monitoring.queries import all_queries, metric_of, names_in
from scripts.paths import ROOT
from scripts.stack import monitoring, prometheus_package
from scripts.stack.monitoring import render_alertmanager, render_prometheus
from scripts.stack.plan import make_plan
from scripts.stack.prometheus_package import PrometheusMissingError, find_programs
from scripts.stack.settings import read_settings

ADDRESSES = {
    monitoring.PROMETHEUS: "127.0.0.1:1",
    monitoring.ALERTMANAGER: "127.0.0.1:2",
    monitoring.CONSUL: "127.0.0.1:3",
    monitoring.ENVOY: "127.0.0.1:4",
    monitoring.RABBITMQ: "127.0.0.1:5",
}
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text()
DECLARED = re.compile(r"\b(Counter|MetricCounter|Gauge|Histogram|SampledGauge)\(\s*\"(\w+)\"")


def targets(config):
    """Return the addresses of a configuration, by job."""
    return {
        job["job_name"]: [
            *(sd["server"] for sd in job.get("consul_sd_configs", ())),
            *(target for sd in job.get("static_configs", ()) for target in sd["targets"]),
        ]
        for job in config["scrape_configs"]
    }


def test_the_local_stack_scrapes_its_own_addresses():
    config = render_prometheus(ADDRESSES)
    assert targets(config) == {
        "services": ["127.0.0.1:3"],
        "envoy": ["127.0.0.1:4"],
        "rabbitmq": ["127.0.0.1:5"],
        "queues": ["127.0.0.1:5"],
        "prometheus": ["127.0.0.1:1"],
    }
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:2"]
    assert Path(config["rule_files"][0]).exists()


def test_a_server_of_somebody_else_is_not_scraped():
    own = {name: each for name, each in ADDRESSES.items() if name != monitoring.RABBITMQ}
    assert targets(render_prometheus(own))["rabbitmq"] == []


def test_alerts_are_mailed_to_the_administrator():
    config = render_alertmanager("smtp://127.0.0.1:2525", "rosa@shop.example")
    assert config["global"]["smtp_smarthost"] == "127.0.0.1:2525"
    assert "smtp_auth_password" not in config["global"]
    assert config["receivers"][0]["email_configs"][0]["to"] == "rosa@shop.example"


def test_a_mail_server_that_wants_a_password_gets_it():
    config = render_alertmanager("smtps://rosa:p%40ss@mail.example:465", "rosa@shop.example")
    assert config["global"]["smtp_auth_username"] == "rosa"
    assert config["global"]["smtp_auth_password"] == "p@ss"
    assert config["global"]["smtp_require_tls"] is True


def test_the_switch_leaves_both_out(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.stack.servers._init_postgres", lambda *_: None)
    (tmp_path / "postgres").mkdir()

    def names(wanted):
        monkeypatch.setenv("MAMIE_MONITORING", wanted)
        return {unit.name for unit in make_plan(read_settings(tmp_path), {}).units}

    monkeypatch.setattr(
        monitoring,
        "find_programs",
        lambda: dict.fromkeys(prometheus_package.PROGRAMS, Path("/none")),
    )
    assert names("on") - names("off") == {"prometheus", "alertmanager"}


def test_a_program_that_is_missing_is_one_message(tmp_path, monkeypatch):
    def unpack(*_, into):
        raise OSError("no network")

    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("scripts.stack.debian.unpack", unpack)
    with pytest.raises(PrometheusMissingError, match=r"no network[\s\S]*MAMIE_MONITORING=off"):
        find_programs(tmp_path)


def test_programs_of_path_come_first(tmp_path, monkeypatch):
    there = {"prometheus", "promtool", "alertmanager"}
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/{name}" if name in there else None)
    assert find_programs(tmp_path)["alertmanager"] == Path("/opt/alertmanager")


def declared() -> set[str]:
    """Return the names of the metrics that the services declare, as Prometheus shows them."""
    found = set()
    for file in (ROOT / "services").rglob("*.py"):
        if "tests" not in file.parts:
            for kind, name in DECLARED.findall(file.read_text()):
                found.add(f"{name}_total" if kind.endswith("Counter") else name)
    return found


def test_every_metric_is_described_and_every_described_one_is_there():
    described = set(re.findall(r"`((?:mamie|grpc_server)_[a-z0-9_]+)[`{]", DOCUMENT))
    assert len(declared()) > 30
    assert described == declared()


def test_every_metric_of_ours_that_a_query_names_is_declared():
    named = {name for _, query in all_queries() for name in names_in(query)}
    ours = {metric_of(name) for name in named if name.startswith(("mamie_", "grpc_"))}
    assert ours
    assert ours - declared() == set()


def test_each_alert_has_a_test_and_a_section():
    assert [*untested(), *without_section()] == []


def test_labels_and_texts_are_no_names():
    query = 'sum by (envoy_cluster_name) (rate(mamie_a_total{b="mamie_c"}[5m])) > edge:d:rate5m'
    assert names_in(query) == {"mamie_a_total", "edge:d:rate5m"}
    assert anchor("The broker's frozen") == "the-brokers-frozen"


def test_compose_runs_prometheus_with_the_same_options():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    command = services["prometheus"]["command"]
    assert [f"{name}={value}" for name, value in monitoring.OPTIONS.items()] == [
        each for each in command if each.split("=")[0] in monitoring.OPTIONS
    ]
