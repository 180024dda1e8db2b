"""Processes that a test starts: the control plane, and clients of the mesh."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.paths import ROOT
from scripts.stack.ports import free_port
from services.common.mesh.channels import OPTIONS
from tests.waiting import eventually


@contextmanager
def running(module: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen]:
    """Run a module as a process with MAMIE_ variables; its output is in `output`."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "build" / "gen")))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAMIE_")}
    ours = {f"MAMIE_{name}": value for name, value in variables.items()}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=inherited | ours | {"PYTHONPATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        process.output = output  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def output_of(process: subprocess.Popen) -> str:
    """Return what a process has printed."""
    output = process.output  # type: ignore[attr-defined]
    return Path(f"/proc/self/fd/{output.fileno()}").read_text()


class ControlPlane:
    """A running control plane; `address` is where."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process = process
        self.port = port
        self.address = f"127.0.0.1:{port}"

    def await_ready(self) -> None:
        """Return when it can tell where services are."""
        with grpc.insecure_channel(self.address, OPTIONS) as channel:
            eventually(lambda: serves(channel), seconds=30)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def serves(channel: grpc.Channel) -> bool:
    """Return whether a server says that it serves."""
    health = health_pb2_grpc.HealthStub(channel)
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def control_plane(consul_url: str, port: int | None = None) -> Iterator[ControlPlane]:
    """Run a control plane; it need not be ready."""
    port = port or free_port()
    variables = {"INSTANCE": "control_plane", "PORT": str(port), "CONSUL_URL": consul_url}
    with running("services.control_plane", **variables) as process:
        yield ControlPlane(process, port)


class Client:
    """A client of the mesh that calls without pause; `calls` are those that have ended."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.calls: list[dict] = []
        self._reading = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reading.start()

    def _read(self, lines) -> None:
        for line in lines:
            self.calls.append(json.loads(line))

    def answered_by(self, *, since: float = 0.0) -> set[int]:
        """Return the instances that have answered calls that ended after a moment."""
        return {call["by"] for call in self.calls if call["at"] >= since and call["by"]}

    def failed(self, *, since: float = 0.0) -> list[dict]:
        """Return the calls that failed after a moment."""
        return [call for call in self.calls if call["at"] >= since and call["code"] != "OK"]

    def await_calls(self, count: int) -> None:
        """Return when that many more calls have ended."""
        wanted = len(self.calls) + count
        eventually(lambda: len(self.calls) >= wanted, seconds=30)


@contextmanager
def client(service: str, *xds_servers: str) -> Iterator[Client]:
    """Run a client that asks these control planes, in order."""
    arguments: Sequence[str] = (service, ",".join(xds_servers))
    path = os.pathsep.join(map(str, (ROOT, ROOT / "build" / "gen")))
    process = subprocess.Popen(
        [sys.executable, "-m", "services.common.tests.mesh_client", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
