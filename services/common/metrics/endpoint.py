"""The HTTP endpoint on which Prometheus reads the metrics of one process.

It is on a port of its own, which Consul knows (services/common/mesh/worker_status.py). What reads
slowly, or not at all, occupies a thread of the endpoint and delays no call.
"""

from prometheus_client import disable_created_metrics, start_http_server

# What every process has is registered by the import.
from services.common.metrics import process  # noqa: F401

TAG = "metrics"
"""Marks an endpoint in Consul: what Prometheus looks for."""


def serve_metrics(host: str, port: int) -> int:
    """Serve the metrics of this process until it ends, and return the port.

    With `port` 0 it is any free one. OSError when it is taken.
    """
    disable_created_metrics()
    server, _ = start_http_server(port, host)
    return int(server.server_port)
