"""The only place that knows how to talk to Consul.

python-consul is old and its continuation py-consul has the same import name: this module
uses what both have. What the old one lacks is made up for here: requests get a time-out,
and a gRPC check is passed as the agent's API wants it.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from consul import Consul, ConsulException  # type: ignore[attr-defined]

GRPC_TAG = "grpc"
DEFAULT_PORT = 8500
WAIT_SECONDS = 30
DEAD_AFTER = "1m"
"""How long an instance may fail its check before Consul forgets it; one minute is the least."""


class ConsulUnavailableError(Exception):
    """The agent does not answer, or not sensibly (no leader, starting, restarting)."""


@dataclass(frozen=True, order=True)
class Instance:
    """One healthy instance of a service."""

    instance_id: str
    address: str
    port: int


class ConsulClient:
    """A client of one Consul agent; every failure to reach it is a ConsulUnavailableError."""

    def __init__(self, url: str, *, timeout_seconds: float = 2.0) -> None:
        self._agent = urlsplit(url)
        self._quick = _connect(url, timeout_seconds)
        # A blocking query is answered after WAIT_SECONDS at the latest, plus some jitter.
        self._patient = _connect(url, WAIT_SECONDS * 1.25)

    def own_address(self) -> str:
        """Return the address of this machine on the network where the agent is."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
                # Chooses a route; nothing is sent.
                towards.connect((self._agent.hostname, self._agent.port or DEFAULT_PORT))
                return towards.getsockname()[0]
        except OSError as error:
            raise ConsulUnavailableError(repr(error)) from error

    def register(
        self, *, name: str, instance_id: str, address: str, port: int, health_service: str
    ) -> None:
        """Announce an instance, healthy until its first check says otherwise."""
        check = {
            "grpc": f"{address}:{port}/{health_service}",
            "interval": "1s",
            "timeout": "1s",
            "status": "passing",
            "DeregisterCriticalServiceAfter": DEAD_AFTER,
        }
        _ask(
            self._quick.agent.service.register,
            name,
            service_id=instance_id,
            address=address,
            port=port,
            tags=[GRPC_TAG],
            check=check,
        )

    def deregister(self, instance_id: str) -> None:
        """Forget an instance; one that is not known is forgotten already."""
        if instance_id in self.registered():
            _ask(self._quick.agent.service.deregister, instance_id)

    def registered(self) -> Mapping[str, Any]:
        """Return the instances that this agent knows, by id."""
        return _ask(self._quick.agent.services)

    def is_in_catalogue(self, name: str, instance: Instance) -> bool:
        """Return whether the whole of Consul knows an instance, healthy or not, at its address."""
        _, nodes = _ask(self._quick.catalog.service, name)
        known = (
            Instance(node["ServiceID"], node["ServiceAddress"], node["ServicePort"])
            for node in nodes
        )
        return instance in known

    def wait_for_names(self, index: str | None) -> tuple[str, Sequence[str]]:
        """Return the names of all gRPC services, as soon as they differ from those at `index`."""
        new_index, services = _ask(
            self._patient.catalog.services, index=index, wait=f"{WAIT_SECONDS}s"
        )
        return new_index, sorted(name for name, tags in services.items() if GRPC_TAG in tags)

    def wait_for_instances(self, name: str, index: str | None) -> tuple[str, Sequence[Instance]]:
        """Return a service's healthy instances, as soon as they differ from those at `index`."""
        new_index, nodes = _ask(
            self._patient.health.service,
            name,
            index=index,
            wait=f"{WAIT_SECONDS}s",
            passing=True,
        )
        return new_index, sorted(_to_instance(node) for node in nodes)


def _connect(url: str, timeout_seconds: float) -> Any:
    parts = urlsplit(url)
    client = Consul(host=parts.hostname, port=parts.port or DEFAULT_PORT, scheme=parts.scheme)
    session = client.http.session
    session.request = _limited(session.request, timeout_seconds)
    return client


def _limited(request: Callable, timeout_seconds: float) -> Callable:
    """Return `request` with our time-out, whatever the library would have it be."""
    return lambda *args, **kwargs: request(*args, **kwargs | {"timeout": timeout_seconds})


def _ask(call, *args, **kwargs) -> Any:
    """Return what the agent answers; who answers something else is no agent."""
    try:
        answer = call(*args, **kwargs)
    except (requests.RequestException, ConsulException, ValueError, KeyError) as error:
        raise ConsulUnavailableError(repr(error)) from error
    if answer is None or (isinstance(answer, tuple) and answer[-1] is None):
        raise ConsulUnavailableError("the agent does not know what it was asked")
    return answer


def _to_instance(node: Mapping[str, Any]) -> Instance:
    service = node["Service"]
    address = service["Address"] or node["Node"]["Address"]
    return Instance(service["ID"], address, service["Port"])
