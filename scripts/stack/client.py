"""The client of a running stack: where its parts are, and commands to change it."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import requests

from scripts.stack.folder import SOCKET
from scripts.stack.settings import DEFAULT_DATA

COMMAND_TIMEOUT_SECONDS = 180


class NoStackError(Exception):
    """No stack runs on this data directory."""


class CommandFailedError(RuntimeError):
    """The stack could not execute a command; the message says why."""


class Stack:
    """The stack that runs on a data directory."""

    def __init__(self, data: Path = DEFAULT_DATA) -> None:
        self.data = data.resolve()
        self._mails: dict[str, bytes] = {}

    def describe(self) -> dict[str, Any]:
        """Return the state of the stack; NoStackError when there is none."""
        return self._send({"do": "describe"})

    def url(self, name: str) -> str:
        """Return the URL of a part: http, https, envoy_admin, consul, control_plane, a server."""
        return self.describe()["urls"][name]

    server_url = url

    def store_url(self, service: str) -> str:
        """Return the URL of a service's store."""
        return self.describe()["stores"][service]

    def admin_credentials(self) -> tuple[str, str]:
        """Return the administrator's (email, password)."""
        admin = self.describe()["admin"]
        return admin["email"], admin["password"]

    def mails_to(self, address: str) -> list[bytes]:
        """Return the mails to an address that the mail sink received, as they came."""
        for file in (self.data / "mailbox" / "new").iterdir():
            if file.name not in self._mails:  # each is read once: there can be thousands
                self._mails[file.name] = file.read_bytes()
        return [mail for mail in self._mails.values() if address.encode() in mail]

    def unit(self, name: str) -> dict[str, Any]:
        """Return the state of a unit, such as "catalog-2"."""
        return next(unit for unit in self.describe()["units"] if unit["name"] == name)

    def address(self, instance: str, endpoint: str = "") -> str:
        """Return "host:port" of an instance, or of its further endpoint, from Consul."""
        consul_id = f"{instance}-{endpoint}" if endpoint else instance
        answer = requests.get(f"{self.url('consul')}/v1/agent/service/{consul_id}", timeout=5)
        answer.raise_for_status()
        return f"{answer.json()['Address']}:{answer.json()['Port']}"

    def instances(self, service: str) -> list[str]:
        """Return the names of a service's instances."""
        names = [unit["name"] for unit in self.describe()["units"]]
        return [name for name in names if name.removeprefix(f"{service}-").isdigit()]

    def scale(self, service: str, instances: int) -> None:
        """Run that many instances of a service; returns when they are ready."""
        self._send({"do": "scale", "service": service, "instances": instances})

    def reload(self) -> dict[str, list[str]]:
        """Adopt the manifests and protos as they are now; returns when the edge uses them.

        "added" has the names of the services that were started, "removed" of those stopped.
        """
        return self._send({"do": "reload"})

    def kill(self, unit: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a unit's process; the runner restarts it unless it is held."""
        self._send({"do": "kill", "unit": unit, "number": int(number)})

    def hold(self, unit: str) -> None:
        """Do not restart a unit until `resume`."""
        self._send({"do": "hold", "unit": unit})

    def resume(self, unit: str) -> None:
        """Restart a unit if it has ended, and whenever it ends."""
        self._send({"do": "resume", "unit": unit})

    def stop(self) -> None:
        """Ask the stack to stop; returns at once."""
        self._send({"do": "stop"})

    def _send(self, command: dict[str, Any]) -> Any:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(COMMAND_TIMEOUT_SECONDS)
                connection.connect(str(self.data / SOCKET))
                connection.sendall(json.dumps(command).encode() + b"\n")
                answer = json.loads(connection.makefile().readline())
        except (OSError, json.JSONDecodeError) as error:
            raise NoStackError(f"no stack runs on {self.data}") from error
        if "error" in answer:
            raise CommandFailedError(answer["error"])
        return answer["ok"]
