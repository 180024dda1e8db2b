"""The collector of traces, as a unit."""

import sys
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack.ports import Ports
from scripts.stack.servers import can_connect
from scripts.stack.units import Unit

PATH = "/v1/traces"
"""The path of OTLP/HTTP."""


def trace_store(folder: Path, ports: Ports) -> tuple[Unit, str]:
    """Return the collector that keeps the last traces, and its URL."""
    port = ports.take("traces")
    unit = Unit(
        name="traces",
        command=[sys.executable, "-m", "scripts.traces.receiver", str(folder), str(port)],
        environment={"PYTHONPATH": str(ROOT)},
        ready=lambda: can_connect(port),
    )
    return unit, f"http://127.0.0.1:{port}{PATH}"
