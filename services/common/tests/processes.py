"""Processes of tests: the control plane, services, and clients of the mesh."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.paths import ROOT
from scripts.stack.ports import free_port
from services.common.mesh.channels import OPTIONS
from tests.support.waiting import eventually


@contextmanager
def running(module: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen]:
    """Run a module as a process with MAMIE_ variables; `output_of` reads its output."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "build" / "gen")))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAMIE_")}
    own = {f"MAMIE_{name}": value for name, value in variables.items()}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=inherited | own | {"PYTHONPATH": path},
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
    """Return the output of a process so far."""
    output = process.output  # type: ignore[attr-defined]
    return Path(f"/proc/self/fd/{output.fileno()}").read_text()


class ControlPlane:
    """A running control plane at `address`."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process = process
        self.port = port
        self.address = f"127.0.0.1:{port}"

    def await_ready(self) -> None:
        """Wait until it is SERVING."""
        with grpc.insecure_channel(self.address, OPTIONS) as channel:
            eventually(lambda: is_serving(channel), seconds=30)

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()


def is_serving(channel: grpc.Channel) -> bool:
    """Check whether the health of a server is SERVING."""
    health = health_pb2_grpc.HealthStub(channel)
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def control_plane(consul_url: str, port: int | None = None) -> Iterator[ControlPlane]:
    """Run a control plane, without waiting until it is ready."""
    port = port or free_port()
    variables = {"INSTANCE": "control_plane", "PORT": str(port), "CONSUL_URL": consul_url}
    with running("services.control_plane", **variables) as process:
        yield ControlPlane(process, port)


class Client:
    """A mesh_client process; `calls` are the calls that have ended."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.calls: list[dict] = []
        self._reading = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reading.start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.calls.append(json.loads(line))

    def answered_by(self, *, since: float = 0.0) -> set[int]:
        """Return the instances that answered the calls that ended since a moment."""
        return {call["instance"] for call in self.calls if call["at"] >= since and call["instance"]}

    def failed(self, *, since: float = 0.0) -> list[dict]:
        """Return the failed calls that ended since a moment."""
        return [call for call in self.calls if call["at"] >= since and call["code"] != "OK"]

    def await_calls(self, count: int) -> None:
        """Wait until that many more calls have ended."""
        wanted = len(self.calls) + count
        eventually(lambda: len(self.calls) >= wanted, seconds=30)


@contextmanager
def client(service: str, *xds_servers: str) -> Iterator[Client]:
    """Run a client with these control planes, in order of preference."""
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
