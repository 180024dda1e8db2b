"""The Consul client; no other module imports `consul`.

python-consul is old and its successor py-consul has the same import name: this module uses
only what both have. Two features that the old one lacks are added here: a time-out of
requests, and gRPC checks.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from consul import Consul, ConsulException  # type: ignore[attr-defined]

from services.common.config import ignore_foreign_environment

GRPC_TAG = "grpc"
DEFAULT_PORT = 8500
WAIT_SECONDS = 30
REPORT_TTL = "20s"
"""After this time without a report, Consul shows a reporter as critical."""
DEREGISTER_AFTER = "1m"
"""How long a check may fail before Consul deregisters the instance; one minute is the minimum."""


class ConsulUnavailableError(Exception):
    """The agent does not answer, or with an error (no leader, starting, restarting)."""


@dataclass(frozen=True, order=True)
class Instance:
    """One healthy instance of a service."""

    instance_id: str
    address: str
    port: int


class ConsulClient:
    """A client of one Consul agent; every failed request is a ConsulUnavailableError."""

    def __init__(self, url: str, *, timeout_seconds: float = 2.0) -> None:
        self._agent = urlsplit(url)
        self._client = _connect(url, timeout_seconds)
        # A blocking query returns after WAIT_SECONDS at the latest, plus some jitter.
        self._blocking_client = _connect(url, WAIT_SECONDS * 1.25)

    def own_address(self) -> str:
        """Return the address of this machine on the agent's network."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                # Connecting a datagram socket chooses a route and sends nothing.
                probe.connect((self._agent.hostname, self._agent.port or DEFAULT_PORT))
                return probe.getsockname()[0]
        except OSError as error:
            raise ConsulUnavailableError(repr(error)) from error

    def register(
        self, *, name: str, instance_id: str, address: str, port: int, health_service: str
    ) -> None:
        """Register an instance; it counts as healthy until its first check."""
        check = {
            "grpc": f"{address}:{port}/{health_service}",
            "interval": "1s",
            "timeout": "1s",
            "status": "passing",
            "DeregisterCriticalServiceAfter": DEREGISTER_AFTER,
        }
        _call(
            self._client.agent.service.register,
            name,
            service_id=instance_id,
            address=address,
            port=port,
            tags=[GRPC_TAG],
            check=check,
        )

    def register_reporter(
        self, *, name: str, instance_id: str, address: str, port: int, tags: Sequence[str]
    ) -> None:
        """Register an entry that is no instance: its state is what it reports.

        The address is that of what the tags name.
        """
        _call(
            self._client.agent.service.register,
            name,
            service_id=instance_id,
            address=address,
            port=port,
            tags=list(tags),
            check={"ttl": REPORT_TTL, "DeregisterCriticalServiceAfter": DEREGISTER_AFTER},
        )

    def report(self, instance_id: str, *, healthy: bool, text: str) -> None:
        """Report the state of a reporter: passing or a warning, and a text.

        ConsulUnavailableError also when the reporter is not registered.
        """
        check = self._client.agent.check
        _call(check.ttl_pass if healthy else check.ttl_warn, f"service:{instance_id}", notes=text)

    def deregister(self, instance_id: str) -> None:
        """Deregister an instance; has no effect on an unknown one."""
        if instance_id in self.registered():
            _call(self._client.agent.service.deregister, instance_id)

    def registered(self) -> Mapping[str, Any]:
        """Return the instances that are registered at this agent, by id."""
        return _call(self._client.agent.services)

    def is_in_catalogue(self, name: str, instance: Instance) -> bool:
        """Check whether the catalogue has an instance, healthy or not, with this address."""
        _, nodes = _call(self._client.catalog.service, name)
        known = (
            Instance(node["ServiceID"], node["ServiceAddress"], node["ServicePort"])
            for node in nodes
        )
        return instance in known

    def wait_for_names(self, index: str | None) -> tuple[str, Sequence[str]]:
        """Return (index, names of all gRPC services) at the first change after `index`."""
        new_index, services = _call(
            self._blocking_client.catalog.services, index=index, wait=f"{WAIT_SECONDS}s"
        )
        return new_index, sorted(name for name, tags in services.items() if GRPC_TAG in tags)

    def wait_for_instances(self, name: str, index: str | None) -> tuple[str, Sequence[Instance]]:
        """Return (index, healthy instances of a service) at the first change after `index`."""
        new_index, nodes = _call(
            self._blocking_client.health.service,
            name,
            index=index,
            wait=f"{WAIT_SECONDS}s",
            passing=True,
        )
        return new_index, sorted(_to_instance(node) for node in nodes)


def _connect(url: str, timeout_seconds: float) -> Any:
    """Connect to this agent and no other, whatever the environment says."""
    ignore_foreign_environment()
    parts = urlsplit(url)
    client = Consul(host=parts.hostname, port=parts.port or DEFAULT_PORT, scheme=parts.scheme)
    session = client.http.session
    session.trust_env = False
    session.request = _with_timeout(session.request, timeout_seconds)
    return client


def _with_timeout(request: Callable[..., Any], timeout_seconds: float) -> Callable[..., Any]:
    """Add a time-out to a function of the library's HTTP session."""
    return lambda *args, **kwargs: request(*args, **kwargs | {"timeout": timeout_seconds})


def _call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of the library; an invalid response counts as unavailable too."""
    try:
        answer = method(*args, **kwargs)
    except (requests.RequestException, ConsulException, ValueError, KeyError) as error:
        raise ConsulUnavailableError(repr(error)) from error
    if answer is None or (isinstance(answer, tuple) and answer[-1] is None):
        raise ConsulUnavailableError("the agent sent an empty response")
    return answer


def _to_instance(node: Mapping[str, Any]) -> Instance:
    service = node["Service"]
    address = service["Address"] or node["Node"]["Address"]
    return Instance(service["ID"], address, service["Port"])
