"""How a service calls another: by name, through the control plane, within its deadline.

`mesh.channel("catalog")` is a gRPC channel to `xds:///catalog`: the control plane tells
where the healthy instances are and which failures are tried again; no address is written
anywhere. Every call takes at most what is left of the call that is being answered.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import grpc

from services.common.context import CallContext, current

IP_ADDRESS = re.compile(r"[\d.]+:\d+")
MARGIN_SECONDS = 0.05
"""What is kept of the caller's deadline, to render an answer that still arrives."""

OPTIONS = (
    # A service that comes back is found within a second, not after the default's minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A channel that is not used for long would forget where the service is.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
)


class Mesh:
    """Opens channels to the other services.

    `xds_servers` are control planes, "host:port", tried in order; one is asked when the
    first channel is used, and another when it dies. With `upstreams`, channels to other
    services are refused: the service's manifest must name them.
    """

    def __init__(
        self, *, xds_servers: Sequence[str], node_id: str, upstreams: Sequence[str] | None = None
    ) -> None:
        self._upstreams = upstreams
        # gRPC reads its bootstrap from the environment, once, with the first xds channel.
        os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(xds_servers, node_id)

    def channel(self, service: str, *interceptors: grpc.UnaryUnaryClientInterceptor):
        """Return a channel to a service, by its name in Consul; it connects in the background.

        From then on it knows where the service is, although nobody has called it yet: the
        control plane may be away when somebody does.
        """
        if self._upstreams is not None and service not in self._upstreams:
            raise ValueError(f"{service} is not among the upstreams of the manifest")
        channel = grpc.insecure_channel(f"xds:///{service}", options=OPTIONS)
        connect(channel)
        return grpc.intercept_channel(channel, *interceptors, CallPropagation())


def connect(channel: grpc.Channel) -> None:
    """Let a channel connect now, in the background, however long that takes."""

    def watch(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            channel.unsubscribe(watch)

    channel.subscribe(watch, try_to_connect=True)


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
        for server in _targets(xds_servers)
    ]
    return json.dumps({"xds_servers": servers, "node": {"id": node_id, "cluster": "mesh"}})


def _targets(xds_servers: Sequence[str]) -> Sequence[str]:
    """Return control planes as gRPC targets, so that another is heard when one dies.

    gRPC asks the next server of its list only about what it does not know yet: a client
    that runs would hear nothing new until the first is back. Of the addresses of one target
    it uses any that answers; a target can have several if they are IP addresses.
    """
    if all(IP_ADDRESS.fullmatch(server) for server in xds_servers):
        return [f"ipv4:{','.join(xds_servers)}"]
    return xds_servers


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
        timeout = remaining_timeout(call, client_call_details.timeout)
        headers = {"x-request-id": call.request_id, "traceparent": call.traceparent}
        return continuation(_revised(client_call_details, timeout, headers), request)


class OnBehalfOfCaller(grpc.UnaryUnaryClientInterceptor):
    """Makes calls in the name of whoever makes the current one, as the edge verified it.

    Pass it to `Mesh.channel` where a service asks for what only its caller may see. Without
    it, and outside of a call, calls are nobody's.
    """

    def intercept_unary_unary(self, continuation, client_call_details, request):
        """Make the call with the caller's id and role."""
        caller = current().caller
        headers = {"x-user-id": caller.user_id, "x-user-role": caller.role}
        timeout = client_call_details.timeout
        return continuation(_revised(client_call_details, timeout, headers), request)


def _revised(
    details: _Details, timeout: float | None, headers: Mapping[str, str | None]
) -> _Details:
    """Return a call with another timeout and with more headers; empty ones are left out."""
    more = [(name, value) for name, value in headers.items() if value]
    return _Details(
        method=details.method,
        timeout=timeout,
        metadata=[*(details.metadata or ()), *more],
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
        compression=details.compression,
    )


def remaining_timeout(call: CallContext, wanted: float | None) -> float | None:
    """Return the seconds that a call may take: what is wanted, at most what remains."""
    remaining = call.remaining_seconds()
    if remaining is None:
        return wanted
    left = max(0.0, remaining - MARGIN_SECONDS)
    return left if wanted is None else min(wanted, left)
