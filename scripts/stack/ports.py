"""Ports: the default ones, or any free ones, which stay the same after a restart."""

import json
import random
import socket
from pathlib import Path

import psutil


class PortTakenError(Exception):
    """Another process, which the message names, uses the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken by {owner(port)}")


class Ports:
    """Assigns ports by name, and stores them in `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def take(self, name: str, fixed: int | None = None) -> int:
        """Return the port of `name`: `fixed` if given, else the stored one, else a free one.

        PortTakenError when a fixed one is not free.
        """
        if fixed and not is_free(fixed):
            raise PortTakenError(fixed)
        port = fixed or self._known.get(name, 0)
        if not port or not is_free(port):
            port = self._new_port()
        self._known[name] = port
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._known, indent=2))
        fresh.rename(self._file)
        return port

    def _new_port(self) -> int:
        """Return a free port that has no other name: servers that have not started hold none."""
        while (port := free_port()) in self._known.values():
            pass
        return port


def free_port() -> int:
    """Return a free port.

    It is below the ephemeral ports of outgoing connections: one of those could be in use at the
    moment when a server that was stopped needs its port again.
    """
    while not is_free(port := random.randrange(20_000, 32_000)):  # noqa: S311 - no secret
        pass
    return port


def is_free(port: int) -> bool:
    """Return whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """Return a description of the process that listens on a port."""
    for connection in psutil.net_connections("tcp"):
        listening = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        if listening and connection.pid:
            process = psutil.Process(connection.pid)
            return f"process {process.pid} ({' '.join(process.cmdline())[:120]})"
    return "another process"
