"""How a service calls another: by name, through the control plane, within its deadline.

`mesh.channel("catalog")` is a gRPC channel to `xds:///catalog`: the control plane tells
where the healthy instances are and which failures are tried again; no address is written
anywhere. Every call takes at most what is left of the call that is being answered.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

import grpc

from services.common.context import CallContext, current

MARGIN_SECONDS = 0.05
"""What is kept of the caller's deadline, to render an answer that still arrives."""

OPTIONS = (
    # A service that comes back is found within a second, not after the default's minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Mesh:
    """Opens channels to the other services.

    `xds_servers` are control planes, "host:port", tried in order; they are asked when the
    first channel is used.
    """

    def __init__(self, *, xds_servers: Sequence[str], node_id: str) -> None:
        # gRPC reads its bootstrap from the environment, once, with the first xds channel.
        os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(xds_servers, node_id)

    def channel(self, service: str, *interceptors: grpc.UnaryUnaryClientInterceptor):
        """Return a channel to a service, by its name in Consul; nothing connects yet."""
        return open_channel(f"xds:///{service}", *interceptors)


def open_channel(target: str, *interceptors: grpc.UnaryUnaryClientInterceptor) -> grpc.Channel:
    """Return a channel to any gRPC target, with what every outgoing call has."""
    channel = grpc.insecure_channel(target, options=OPTIONS)
    return grpc.intercept_channel(channel, *interceptors, CallPropagation())


def bootstrap(xds_servers: Sequence[str], node_id: str) -> str:
    """Return the xDS bootstrap of this process, as JSON."""
    servers = [
        {
            "server_uri": server,
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }
        for server in xds_servers
    ]
    return json.dumps({"xds_servers": servers, "node": {"id": node_id, "cluster": "mesh"}})


class _Details(NamedTuple):
    """What gRPC's interceptors pass on of a call; the library has no public one to build."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class CallPropagation(grpc.UnaryUnaryClientInterceptor):
    """Hands the current call's deadline, request id and trace context to the next service."""

    def intercept_unary_unary(self, continuation, client_call_details, request):
        """Make the call with what remains of the deadline."""
        call = current()
        details = _Details(
            method=client_call_details.method,
            timeout=remaining_timeout(call, client_call_details.timeout),
            metadata=[*(client_call_details.metadata or ()), *_propagated(call)],
            credentials=client_call_details.credentials,
            wait_for_ready=client_call_details.wait_for_ready,
            compression=client_call_details.compression,
        )
        return continuation(details, request)


def remaining_timeout(call: CallContext, wanted: float | None) -> float | None:
    """Return the seconds that a call may take: what is wanted, at most what remains."""
    remaining = call.remaining_seconds()
    if remaining is None:
        return wanted
    left = max(0.0, remaining - MARGIN_SECONDS)
    return left if wanted is None else min(wanted, left)


def _propagated(call: CallContext) -> list[tuple[str, str]]:
    headers = {"x-request-id": call.request_id, "traceparent": call.traceparent}
    return [(name, value) for name, value in headers.items() if value]
