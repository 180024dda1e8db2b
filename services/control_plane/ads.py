"""The aggregated discovery service (ADS), state of the world.

One stream a client. On it the client subscribes to types of resources, by name or to all
of a type, and acknowledges each answer by its nonce. This side answers a subscription,
and again whenever what it subscribed to has changed.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import structlog
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from envoy_data_plane.google.protobuf import Any

from services.control_plane.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Resources

METHOD = "StreamAggregatedResources"
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
"""What refers to something comes after what it refers to ("make before break")."""
WITH_WILDCARD = frozenset({CLUSTER, LISTENER})
EVERYTHING = "*"

log = structlog.get_logger()


@dataclass
class Subscription:
    """What a client wants of one type, and what it was last told.

    `everything` says that it wants all of the type. That is what no names mean, where the
    type allows it, to a client that never gave any; one that takes back all of its names
    wants nothing.
    """

    everything: bool
    names: frozenset[str] = frozenset()
    answers: int = 0
    told: str | None = None

    @property
    def nonce(self) -> str:
        """Return what tells the last answer from those before."""
        return str(self.answers) if self.answers else ""

    def change(self, names: frozenset[str]) -> None:
        """Take note of the names; other names are answered even if the answer is the same."""
        if names != self.names:
            self.told = None
        self.everything = self.everything and not names
        self.names = names

    def choose(self, known: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return what it wants of what is known."""
        every = self.everything or EVERYTHING in self.names
        return {name: known[name] for name in sorted(known if every else self.names & known.keys())}


@dataclass
class Client:
    """The state of one stream."""

    node: str = ""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def subscribe(self, request: DiscoveryRequest) -> None:
        """Take note of a request: a subscription, an acknowledgement or a refusal."""
        if request.node and request.node.id:
            self.node = request.node.id
        if request.type_url not in ORDER:
            return
        wanted = self.subscriptions.setdefault(
            request.type_url, Subscription(request.type_url in WITH_WILDCARD)
        )
        if request.response_nonce and request.response_nonce != wanted.nonce:
            return  # about an answer that has been followed by another
        if request.error_detail and request.error_detail.message:
            why = request.error_detail.message
            log.error("refused", node=self.node, type=request.type_url, why=why)
        wanted.change(frozenset(request.resource_names))

    def news(self, resources: Resources) -> list[DiscoveryResponse]:
        """Return what the client has to be told, in order; and take note that it was."""
        answers = []
        for type_url in ORDER:
            wanted = self.subscriptions.get(type_url)
            if wanted and (answer := _answer(type_url, wanted, resources)):
                answers.append(answer)
        return answers


def _answer(type_url: str, wanted: Subscription, resources: Resources) -> DiscoveryResponse | None:
    """Return what is new to a subscription, or None."""
    chosen = wanted.choose(resources[type_url])
    version = _version(chosen)
    if version == wanted.told:
        return None
    wanted.told = version
    wanted.answers += 1
    return DiscoveryResponse(
        version_info=version,
        nonce=wanted.nonce,
        type_url=type_url,
        resources=[Any(type_url=type_url, value=value) for value in chosen.values()],
    )


def _version(chosen: dict[str, bytes]) -> str:
    """Return a name for an answer: the same for the same content."""
    digest = hashlib.sha256()
    for name, value in chosen.items():
        digest.update(name.encode() + b"\0" + value)
    return digest.hexdigest()[:16]


class DiscoveryServer:
    """Serves the streams. Until `publish` is called the first time nobody is told anything."""

    def __init__(self) -> None:
        self._resources: Resources | None = None
        self._streams: set[asyncio.Event] = set()
        self._closed = False

    @property
    def is_ready(self) -> bool:
        """Return whether there is anything to tell."""
        return self._resources is not None

    def publish(self, resources: Resources) -> None:
        """Tell every client what has changed."""
        self._resources = resources
        for wake in self._streams:
            wake.set()

    def close(self) -> None:
        """End all streams; clients keep what they know and ask another control plane."""
        self._closed = True
        for wake in self._streams:
            wake.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what to add to a gRPC server."""
        method = grpc.stream_stream_rpc_method_handler(self.stream, DiscoveryRequest.parse, bytes)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def stream(
        self, requests: AsyncIterator[DiscoveryRequest], _context: grpc.aio.ServicerContext
    ) -> AsyncIterator[DiscoveryResponse]:
        """Answer one client for as long as it listens."""
        client, wake = Client(), asyncio.Event()
        self._streams.add(wake)
        reading = asyncio.create_task(_read(requests, client, wake))
        try:
            while not (reading.done() or self._closed):
                await wake.wait()
                wake.clear()
                for answer in self._news(client):
                    yield answer
        finally:
            self._streams.discard(wake)
            reading.cancel()

    def _news(self, client: Client) -> Sequence[DiscoveryResponse]:
        return client.news(self._resources) if self._resources is not None else ()


async def _read(
    requests: AsyncIterator[DiscoveryRequest], client: Client, wake: asyncio.Event
) -> None:
    """Take note of every request; wake the writer after each, and at the end."""
    try:
        async for request in requests:
            client.subscribe(request)
            wake.set()
    finally:
        wake.set()
