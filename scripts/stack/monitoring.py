"""Prometheus and Alertmanager, as units of the local stack.

Their configuration is that of compose.yaml (deploy/prometheus), with other addresses. Nothing of
the shop needs them: the stack starts, and goes on, without them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import yaml

from scripts.paths import ROOT
from scripts.stack.prometheus_package import find_programs
from scripts.stack.units import Unit

SOURCES = ROOT / "deploy" / "prometheus"
RULES = SOURCES / "rules.yml"
ADMIN = "admin@mamie-rosa.example"
MAIL = "mail:1025"
PROMETHEUS, ALERTMANAGER = "prometheus:9090", "alertmanager:9093"
CONSUL, ENVOY, RABBITMQ = "consul:8500", "envoy:9901", "rabbitmq:15692"
"""The addresses in the configuration."""
OPTIONS = {
    "--storage.tsdb.retention.time": "7d",
    "--storage.tsdb.retention.size": "500MB",
}
"""The same as in compose.yaml (scripts/tests compare)."""
MEMORY_LIMITS = {"prometheus": "160MiB", "alertmanager": "48MiB"}
"""What Go's garbage collector aims at."""

Addresses = Mapping[str, str]
"""What stands in the place of each address in the configuration; what is missing is left out."""


def monitoring_units(
    folder: Path, addresses: Addresses, *, smtp_url: str, admin: str
) -> list[Unit]:
    """Return the units of Prometheus and Alertmanager, with their data below a folder.

    `addresses` has their own and those of what they reach. Alerts are mailed to `admin`.
    PrometheusMissingError when there are no programs.
    """
    programs = find_programs()
    for name in ("prometheus", "alertmanager"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config, mails = folder / "prometheus.yml", folder / "alertmanager.yml"
    config.write_text(yaml.safe_dump(render_prometheus(addresses)))
    mails.touch(mode=0o600)  # it may have a password
    mails.write_text(yaml.safe_dump(render_alertmanager(smtp_url, admin)))
    own, alertmanager = addresses[PROMETHEUS], addresses[ALERTMANAGER]
    return [
        _unit(
            "prometheus",
            own,
            [
                str(programs["prometheus"]),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={own}",
                "--log.level=warn",
                *(f"{name}={value}" for name, value in OPTIONS.items()),
            ],
        ),
        _unit(
            "alertmanager",
            alertmanager,
            [
                str(programs["alertmanager"]),
                f"--config.file={mails}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",  # it is the only one
                "--log.level=warn",
            ],
        ),
    ]


def _unit(name: str, address: str, command: list[str]) -> Unit:
    return Unit(
        name=name,
        command=command,
        environment={"GOMEMLIMIT": MEMORY_LIMITS[name]},
        ready=lambda: requests.get(f"http://{address}/-/ready", timeout=1).ok,
        essential=False,
    )


def render_prometheus(addresses: Addresses) -> dict[str, Any]:
    """Return the configuration with other addresses, and without the jobs that have none."""
    config = yaml.safe_load((SOURCES / "prometheus.yml").read_text())
    config["rule_files"] = [str(RULES)]
    config["alerting"]["alertmanagers"] = [_static([addresses[ALERTMANAGER]])]
    for job in config["scrape_configs"]:
        for each in job.get("consul_sd_configs", ()):
            each["server"] = addresses[CONSUL]
        for each in job.get("static_configs", ()):
            each["targets"] = [addresses[name] for name in each["targets"] if name in addresses]
    return config


def _static(targets: list[str]) -> dict[str, Any]:
    return {"static_configs": [{"targets": targets}]}


def render_alertmanager(smtp_url: str, admin: str) -> dict[str, Any]:
    """Return the configuration with another mail server, smtp[s]://[user:password@]host:port."""
    text = (SOURCES / "alertmanager.yml").read_text()
    config = yaml.safe_load(text.replace(ADMIN, admin))
    server = urlsplit(smtp_url)
    mail = config["global"]
    mail["smtp_smarthost"] = f"{server.hostname}:{server.port or 25}"
    mail["smtp_require_tls"] = server.scheme == "smtps"
    if server.username:
        mail["smtp_auth_username"] = unquote(server.username)
        mail["smtp_auth_password"] = unquote(server.password or "")
    return config
