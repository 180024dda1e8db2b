"""The stack of compose.yaml, with the interface of scripts.stack.client.Stack.

MAMIE_TEST_STACK=compose runs the tests of the whole shop on it. It needs root on the machine of
the engine: processes are killed past the engine, which restarts none that it killed itself.
"""

import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import requests
import yaml

from scripts.paths import ROOT

PROJECT = "mamie-rosa"
INITS = ("docker-init", "tini", "tini-static")
RESTART = "unless-stopped"
PORTS = {
    "http": ("envoy", 8080),
    "https": ("envoy", 8443),
    "envoy_admin": ("envoy", 9901),
    "consul": ("consul", 8500),
    "mail": ("mail", 8025),
}
SERVERS = {"rabbitmq": "bus-url", "postgres": "postgres-url"}
"""Servers by the secret with their URL."""


class ComposeStack:
    """The containers of one Compose project."""

    def __init__(self, project: str = PROJECT) -> None:
        self._project = project
        self._urls: dict[str, str] = {}

    def url(self, name: str) -> str:
        """Return the URL of a part: http, https, envoy_admin, consul, mail, a server."""
        if name in SERVERS:
            return self._reachable(_secret(SERVERS[name]))
        if name not in self._urls:  # they change with a new `up` only
            self._urls[name] = self._published(name)
        return self._urls[name]

    def _published(self, name: str) -> str:
        service, port = PORTS[name]
        address = self.compose("port", service, str(port)).strip().replace("0.0.0.0", "127.0.0.1")
        return f"{'https' if name == 'https' else 'http'}://{address}"

    server_url = url

    def store_url(self, service: str) -> str:
        """Return the URL of a service's store, as this machine reaches it."""
        services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
        named = services[service]["environment"].get("MAMIE_STORE_URL") or _secret(
            f"{service}-store-url"
        )
        return self._reachable(named)

    def admin_credentials(self) -> tuple[str, str]:
        """Return the administrator's (email, password)."""
        return "admin@mamie-rosa.example", _secret("admin-password")

    def mails_to(self, address: str) -> list[bytes]:
        """Return the mails to an address, as they were delivered."""
        found = self._mail(f"search?query=to:{address}").json()["messages"]
        return [self._mail(f"message/{message['ID']}/raw").content for message in found]

    def _mail(self, path: str) -> requests.Response:
        answer = requests.get(f"{self.url('mail')}/api/v1/{path}", timeout=10)
        answer.raise_for_status()
        return answer

    def instances(self, service: str) -> list[str]:
        """Return the names of a service's instances."""
        listed = self.compose("ps", "--all", "--format", "{{.Name}}", service.replace("_", "-"))
        return sorted(name.removeprefix(f"{self._project}-") for name in listed.split())

    def unit(self, name: str) -> dict[str, Any]:
        """Return the state of a unit, such as "catalog-2", and the id of its process."""
        state = self._inspect(name)["State"]
        return {"name": name, "state": _state(state), "pid": _process(state["Pid"])}

    def address(self, instance: str, endpoint: str = "") -> str:
        """Return "host:port" of an instance, or of its further endpoint, from Consul."""
        hostname = self._inspect(instance)["Config"]["Hostname"]
        consul_id = f"{hostname}-{endpoint}" if endpoint else hostname
        answer = requests.get(f"{self.url('consul')}/v1/agent/service/{consul_id}", timeout=5)
        answer.raise_for_status()
        return f"{answer.json()['Address']}:{answer.json()['Port']}"

    def scale(self, service: str, instances: int) -> None:
        """Run that many instances of a service; returns when they are ready."""
        up = ("up", "--detach", "--wait", "--no-recreate", "--no-deps")
        self.compose(*up, f"--scale={service}={instances}", service)

    def kill(self, unit: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a unit's process; it is restarted unless it is held."""
        os.kill(self.unit(unit)["pid"], number)

    def hold(self, unit: str) -> None:
        """Do not restart a unit when it ends, until `resume`."""
        self.docker("update", "--restart=no", self._container(unit))

    def resume(self, unit: str) -> None:
        """Restart a unit again when it ends, and now if it has."""
        self.docker("update", f"--restart={RESTART}", self._container(unit))
        self.docker("start", self._container(unit))

    def compose(self, *arguments: str) -> str:
        """Run docker compose on the project and return what it prints."""
        return self.docker("compose", "--project-name", self._project, *arguments)

    @staticmethod
    def docker(*arguments: str) -> str:
        """Run docker and return what it prints."""
        done = subprocess.run(
            ["docker", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return done.stdout

    def _container(self, unit: str) -> str:
        name = unit.replace("_", "-")
        numbered = name if name[-1].isdigit() and "-" in name else f"{name}-1"
        return f"{self._project}-{numbered}"

    def _inspect(self, unit: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("inspect", self._container(unit)))
        return found

    def _reachable(self, url: str) -> str:
        """Return a URL with the address of the container that it names."""
        parts = urlsplit(url)
        networks = self._inspect(parts.hostname or "")["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAddress"]
        login, at, server = parts.netloc.rpartition("@")
        netloc = login + at + server.replace(parts.hostname or "", address)
        query = "directConnection=true" if parts.scheme == "mongodb" else parts.query
        return urlunsplit(parts._replace(netloc=netloc, query=query))


def _state(state: dict[str, Any]) -> str:
    if not state["Running"]:
        return "crashed"
    return "ready" if state.get("Health", {}).get("Status") == "healthy" else "starting"


def _process(pid: int) -> int | None:
    """Return the process of the service: the child, when the container starts with an init."""
    with suppress(psutil.NoSuchProcess, IndexError):
        process = psutil.Process(pid)
        return process.children()[0].pid if process.name() in INITS else pid
    return None


def _secret(name: str) -> str:
    return (ROOT / ".secrets" / name).read_text().strip()
