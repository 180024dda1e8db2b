"""The checks of scripts/doctor on Consul, the control plane, Envoy and the public keys."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import requests

from scripts.operations.findings import Check, Finding, good, warning, wrong
from scripts.stack.readiness import is_serving, list_troubles
from services.common.mesh.consul import GRPC_TAG

TIMEOUT_SECONDS = 3
RESTART_XDS = "scripts/logs control_plane; docs/runbook.md, the control plane is down"
Addresses = Mapping[str, set[str]]
"""The addresses of the healthy instances, "host:port", by service."""


def mesh_checks(state: Mapping[str, Any]) -> list[Check]:
    """Return the checks of a stack, from the state that it describes."""
    urls = state["urls"]
    return [
        lambda: check_units(state["units"]),
        lambda: check_consul(urls["consul"]),
        lambda: check_control_plane(urls["control_plane"]),
        lambda: check_endpoints(urls["consul"], urls["envoy_admin"]),
        lambda: check_keys(urls["http"]),
    ]


def check_units(units: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Judge the processes of a stack, as its runner describes them."""
    suspicious = 0
    for unit in units:
        name, cure = unit["name"], f"scripts/logs {unit['name']}"
        if unit["state"] not in ("ready", "done"):
            suspicious += 1
            yield wrong("processes", f"{name} is {unit['state']}", cure)
        elif unit["restarts"]:
            suspicious += 1
            yield warning("processes", f"{name} was restarted {unit['restarts']} times", cure)
    if not suspicious:
        yield good("processes", f"{len(units)} are ready")


def check_consul(url: str) -> Iterator[Finding]:
    """Judge whether Consul has a leader, and what its checks say."""
    try:
        leader = _get(f"{url}/v1/status/leader").json()
    except (requests.RequestException, ValueError):
        yield wrong("Consul", f"{url} does not answer", "scripts/logs consul; scripts/status")
        return
    if not leader:
        yield wrong("Consul", "it has no leader", "wait some seconds; scripts/logs consul")
        return
    troubles = list_troubles(url)
    for trouble in troubles:
        unit = trouble.partition(":")[0].removesuffix("-workers")
        yield wrong("Consul", trouble, f"scripts/logs {unit}; docs/runbook.md")
    if not troubles:
        yield good("Consul", "it has a leader, and all checks pass")


def check_control_plane(address: str) -> Iterator[Finding]:
    """Judge whether the control plane serves."""
    try:
        serves, cause = is_serving(address), "it has no snapshot yet"
    except grpc.RpcError as error:
        serves, cause = False, error.code().name
    if serves:
        yield good("xDS", f"the control plane serves at {address}")
    else:
        yield wrong("xDS", f"the control plane at {address} does not serve: {cause}", RESTART_XDS)


def check_endpoints(consul_url: str, admin_url: str) -> Iterator[Finding]:
    """Compare the healthy instances in Consul with the endpoints that Envoy uses."""
    try:
        registered = registered_addresses(consul_url)
    except (requests.RequestException, ValueError):
        return  # check_consul says so
    try:
        clusters = _get(f"{admin_url}/clusters?format=json").json()["cluster_statuses"]
    except (requests.RequestException, ValueError, KeyError):
        cure = "scripts/logs envoy; scripts/status"
        yield wrong("Envoy", f"its admin pages at {admin_url} do not answer", cure)
        return
    yield from compare_endpoints(registered, clusters)


def registered_addresses(consul_url: str) -> Addresses:
    """Return the healthy instances of all gRPC services in Consul."""
    services = _get(f"{consul_url}/v1/catalog/services").json()
    names = [name for name, tags in services.items() if GRPC_TAG in tags]
    return {name: _passing(consul_url, name) for name in names}


def _passing(consul_url: str, service: str) -> set[str]:
    entries = _get(f"{consul_url}/v1/health/service/{service}?passing=1").json()
    instances = [entry["Service"] for entry in entries]
    return {f"{instance['Address']}:{instance['Port']}" for instance in instances}


def compare_endpoints(
    registered: Addresses, clusters: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    """Compare instances with the clusters of Envoy's admin page, and judge what Envoy ejected."""
    known = {cluster["name"]: _hosts(cluster) for cluster in clusters}
    before = count = 0
    for service, addresses in sorted(registered.items()):
        hosts = known.get(service, {})
        differences = [
            *(
                f"does not know {address} of {service}"
                for address in sorted(addresses - set(hosts))
            ),
            *(f"still lists {address} of {service}" for address in sorted(set(hosts) - addresses)),
        ]
        for difference in differences:
            before += 1
            yield wrong("xDS", f"Envoy {difference}", RESTART_XDS)
        for address in sorted(address for address in hosts if hosts[address]):
            before += 1
            cure = f"find why its calls fail: scripts/logs {service}"
            yield warning("Envoy", f"{address} of {service} is ejected: its calls failed", cure)
        count += len(addresses)
    if not before:
        yield good("xDS", f"Envoy knows all {count} instances that are healthy in Consul")


def _hosts(cluster: Mapping[str, Any]) -> dict[str, bool]:
    """Return the hosts of a cluster, and whether outlier detection has ejected each."""
    found = {}
    for host in cluster.get("host_statuses", ()):
        if socket_address := host["address"].get("socket_address"):
            name = f"{socket_address['address']}:{socket_address['port_value']}"
            found[name] = bool(host.get("health_status", {}).get("failed_outlier_check"))
    return found


def check_keys(http_url: str) -> Iterator[Finding]:
    """Judge whether the edge publishes the keys with which tokens are verified."""
    cure = "scripts/logs users; docs/runbook.md, keys"
    try:
        answer = _get(f"{http_url}/.well-known/jwks.json")
        keys = [key["kid"] for key in answer.json()["keys"]]
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        yield wrong("keys", f"the public keys cannot be fetched: {status}", cure)
        return
    except (requests.RequestException, ValueError, KeyError, TypeError):
        yield wrong("keys", "the public keys cannot be fetched", cure)
        return
    if keys:
        yield good("keys", f"{len(keys)} public keys")
    else:
        yield wrong("keys", "there is no public key: nobody can sign in", cure)


def _get(url: str) -> requests.Response:
    answer = requests.get(url, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return answer
