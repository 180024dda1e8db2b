"""Whether the parts of a running stack can be used, as they say themselves."""

import time
from collections.abc import Mapping, Sequence

import grpc
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.stack.units import UnitFailedError

POLL_SECONDS = 0.1
CONNECT_TIMEOUT_SECONDS = 30.0
"""How long an instance may need for its connections, after all instances are healthy."""
SERVING = health_pb2.HealthCheckResponse.SERVING


def is_registered(consul_url: str, service: str, instance: str) -> bool:
    """Return whether an instance is healthy in Consul."""
    found = requests.get(f"{consul_url}/v1/health/service/{service}?passing=1", timeout=1).json()
    return any(entry["Service"]["ID"] == instance for entry in found)


def is_serving(address: str, name: str = "") -> bool:
    """Return whether a gRPC server publishes SERVING under a name.

    grpc.RpcError when it does not answer, or does not know the name.
    """
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2)
    return answer.status == SERVING


def answers(http_url: str) -> bool:
    """Return whether the edge serves products."""
    return requests.get(f"{http_url}/api/products?limit=1", timeout=2).ok


def list_troubles(consul_url: str) -> list[str]:
    """Return one line about each check in Consul that does not pass, in order of names."""
    try:
        found = requests.get(f"{consul_url}/v1/health/state/any", timeout=2)
        found.raise_for_status()
        checks = [check for check in found.json() if check["Status"] != "passing"]
    except (requests.RequestException, ValueError):
        return ["Consul does not answer"]
    return sorted(_describe_check(check) for check in checks)


def _describe_check(check: Mapping[str, str]) -> str:
    name = check["ServiceID"] or check["Name"]
    return f"{name}: {check['Status']}: {' '.join(check['Output'].split())}"


def await_upstreams(consul_url: str, instance: str, upstreams: Sequence[str]) -> None:
    """Wait until an instance is connected to its upstreams; UnitFailedError names one that fails.

    Products are shown without them, but no order is placed.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    for upstream in upstreams:
        while not _is_connected(consul_url, instance, upstream):
            if time.monotonic() > deadline:
                raise UnitFailedError(f"{instance} is not connected to {upstream}; see its log")
            time.sleep(POLL_SECONDS)


def _is_connected(consul_url: str, instance: str, upstream: str) -> bool:
    try:
        found = requests.get(f"{consul_url}/v1/agent/service/{instance}", timeout=2)
        found.raise_for_status()
        address = f"{found.json()['Address']}:{found.json()['Port']}"
        return is_serving(address, f"upstream/{upstream}")
    except grpc.RpcError as error:
        # A service that opens no channel publishes nothing about it.
        return error.code() is grpc.StatusCode.NOT_FOUND
    except requests.RequestException:
        return False
