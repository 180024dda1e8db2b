"""A real Envoy process with the real configuration, on free ports."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from scripts.edge.certificate import ensure_certificate
from scripts.edge.program import envoy_program
from scripts.edge.render import render_envoy
from scripts.paths import DESCRIPTORS
from scripts.stack.ports import free_port
from tests.support.waiting import eventually


def render(folder: Path, *, xds_port: int = 1, **options: Any) -> Path:
    """Return a rendered configuration with the shop's usual limits, on free ports."""
    certificate, private_key = ensure_certificate(folder)
    usual: dict[str, Any] = {
        "output": folder / "envoy.json",
        "http_port": free_port(),
        "https_port": free_port(),
        "admin_port": free_port(),
        "xds_addresses": [("127.0.0.1", xds_port)],
        "rate_limit_per_minute": 100,
        "login_rate_limit_per_minute": 10,
        "certificate": certificate,
        "private_key": private_key,
        "descriptor_set": DESCRIPTORS,
    }
    return render_envoy(**(usual | options))


class Envoy:
    """One running Envoy. `change` may alter the configuration before it starts."""

    def __init__(
        self,
        folder: Path,
        *,
        xds_port: int,
        change: Callable[[dict[str, Any]], None] = lambda configuration: None,
        **options: Any,
    ) -> None:
        self.certificate = folder / "cert.pem"
        file = render(folder, xds_port=xds_port, **options)
        self.configuration = json.loads(file.read_text())
        change(self.configuration)
        file.write_text(json.dumps(self.configuration))
        http, https = (
            listener["address"]["socket_address"]["port_value"]
            for listener in self.configuration["static_resources"]["listeners"][:2]
        )
        admin = self.configuration["admin"]["address"]["socket_address"]["port_value"]
        self.port: int = http
        self.address = f"127.0.0.1:{http}"
        self.http = f"http://{self.address}"
        self.https = f"https://127.0.0.1:{https}"
        self.admin = f"http://127.0.0.1:{admin}"
        self.log = folder / "envoy.log"
        self._process = self._start(file)
        try:
            eventually(self.is_ready)
        except BaseException:
            self.stop()
            raise

    def _start(self, file: Path) -> subprocess.Popen[bytes]:
        command = [
            str(envoy_program()),
            "-c",
            str(file),
            "--concurrency",
            "2",
            "--use-dynamic-base-id",
        ]
        quick = ["--file-flush-interval-msec", "50", "--log-level", "warning"]
        with self.log.open("w") as log:
            return subprocess.Popen([*command, *quick], stdout=log, stderr=log)

    def is_ready(self) -> bool:
        """Return whether it serves; AssertionError with its log when it has ended."""
        assert self._process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.admin}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def has_endpoints(self, service: str, *ports: int) -> bool:
        """Return whether exactly these ports are its endpoints of a service."""
        clusters = httpx.get(f"{self.admin}/clusters?format=json").json()["cluster_statuses"]
        found = {cluster["name"]: cluster.get("host_statuses", []) for cluster in clusters}
        used = {host["address"]["socket_address"]["port_value"] for host in found.get(service, [])}
        return service in found and used == set(ports)

    def statistic(self, name: str) -> int:
        """Return the value of a counter or gauge."""
        text = httpx.get(f"{self.admin}/stats", params={"filter": f"^{name}$"}).text
        return int(text.rpartition(":")[2] or 0)

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
