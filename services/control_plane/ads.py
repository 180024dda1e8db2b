"""The aggregated discovery service (ADS), state-of-the-world variant.

A client opens one stream. On it, it subscribes to resource types, by name or with a wildcard,
and answers each response with an ACK or a NACK that carries the response's nonce. The server
responds to each subscription, and again whenever its resources have changed.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import structlog
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from envoy_data_plane.google.protobuf import Any

from services.control_plane import metrics
from services.control_plane.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Snapshot

METHOD = "StreamAggregatedResources"
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
RESPONSE_ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
"""A resource is sent after the resources that it refers to ("make before break")."""
WILDCARD = "*"
TYPES_WITH_WILDCARD = frozenset({CLUSTER, LISTENER})

log = structlog.get_logger()


@dataclass
class Subscription:
    """A client's subscription to one resource type, with the version that was last sent.

    `wildcard` subscribes to all resources of the type. For types that allow it, a request
    without names is a wildcard until the client has sent names; after that, no names means
    no resources.
    """

    wildcard: bool
    names: frozenset[str] = frozenset()
    response_count: int = 0
    last_sent_version: str | None = None

    @property
    def nonce(self) -> str:
        """The nonce of the last response; empty before the first."""
        return str(self.response_count) if self.response_count else ""

    def set_names(self, names: frozenset[str]) -> None:
        """Replace the names; changed names get a response even if its content is the same."""
        if names != self.names:
            self.last_sent_version = None
        self.wildcard = self.wildcard and not names
        self.names = names

    def select(self, resources: Mapping[str, bytes]) -> dict[str, bytes]:
        """Select the subscribed resources, by name."""
        if self.wildcard or WILDCARD in self.names:
            return dict(sorted(resources.items()))
        return {name: resources[name] for name in sorted(self.names & resources.keys())}


@dataclass
class ClientState:
    """The subscriptions of the client of one stream."""

    node: str = ""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def handle_request(self, request: DiscoveryRequest) -> None:
        """Apply a subscription, an ACK or a NACK."""
        if request.node and request.node.id:
            self.node = request.node.id
        if request.type_url not in RESPONSE_ORDER:
            return
        subscription = self.subscriptions.setdefault(
            request.type_url, Subscription(request.type_url in TYPES_WITH_WILDCARD)
        )
        if request.response_nonce and request.response_nonce != subscription.nonce:
            return  # stale: a newer response was sent
        if request.error_detail and request.error_detail.message:
            metrics.NACKS.labels(metrics.short(request.type_url)).inc()
            error = request.error_detail.message
            log.error("nack_received", node=self.node, type=request.type_url, error=error)
        subscription.set_names(frozenset(request.resource_names))

    def pending_responses(self, snapshot: Snapshot) -> list[DiscoveryResponse]:
        """Build the responses that the client has not been sent, and count them as sent."""
        responses = []
        for type_url in RESPONSE_ORDER:
            subscription = self.subscriptions.get(type_url)
            if subscription and (response := _next_response(type_url, subscription, snapshot)):
                responses.append(response)
        return responses


def _next_response(
    type_url: str, subscription: Subscription, snapshot: Snapshot
) -> DiscoveryResponse | None:
    """Build the response to a subscription; None if its version was sent already."""
    resources = subscription.select(snapshot[type_url])
    version = _version(resources)
    if version == subscription.last_sent_version:
        return None
    subscription.last_sent_version = version
    subscription.response_count += 1
    metrics.PUSHES.labels(metrics.short(type_url)).inc()
    return DiscoveryResponse(
        version_info=version,
        nonce=subscription.nonce,
        type_url=type_url,
        resources=[Any(type_url=type_url, value=value) for value in resources.values()],
    )


def _version(resources: Mapping[str, bytes]) -> str:
    """Hash the content, so that equal content has an equal version."""
    digest = hashlib.sha256()
    for name, value in resources.items():
        digest.update(name.encode() + b"\0" + value)
    return digest.hexdigest()[:16]


class DiscoveryServer:
    """Serves the streams; they get no response before the first snapshot is published."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._streams: set[asyncio.Event] = set()
        self._closed = False

    @property
    def is_ready(self) -> bool:
        """Whether a snapshot has been published."""
        return self._snapshot is not None

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot and send every client what has changed for it."""
        self._snapshot = snapshot
        self._wake_streams()

    def close(self) -> None:
        """End all streams; clients keep their resources and connect to another control plane."""
        self._closed = True
        self._wake_streams()

    def _wake_streams(self) -> None:
        for wake in self._streams:
            wake.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Build the handler to be added to a gRPC server."""
        method = grpc.stream_stream_rpc_method_handler(self.stream, DiscoveryRequest.parse, bytes)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def stream(
        self, requests: AsyncIterator[DiscoveryRequest], _context: grpc.aio.ServicerContext
    ) -> AsyncIterator[DiscoveryResponse]:
        """Serve one client until it closes the stream or the server is closed."""
        client, wake = ClientState(), asyncio.Event()
        self._streams.add(wake)
        reader = asyncio.create_task(_read_requests(requests, client, wake))
        metrics.STREAMS.inc()
        try:
            while not (reader.done() or self._closed):
                await wake.wait()
                wake.clear()
                for response in self._pending_responses(client):
                    yield response
        finally:
            metrics.STREAMS.dec()
            self._streams.discard(wake)
            reader.cancel()

    def _pending_responses(self, client: ClientState) -> Sequence[DiscoveryResponse]:
        return client.pending_responses(self._snapshot) if self._snapshot is not None else ()


async def _read_requests(
    requests: AsyncIterator[DiscoveryRequest], client: ClientState, wake: asyncio.Event
) -> None:
    """Apply every request; wake the stream after each, and at the end."""
    try:
        async for request in requests:
            client.handle_request(request)
            wake.set()
    finally:
        wake.set()
