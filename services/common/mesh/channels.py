"""Client channels to the other services of the mesh.

`mesh.channel("catalog")` is a gRPC channel to `xds:///catalog`: the control plane provides the
healthy instances and the retry policy; no address is configured anywhere. Every call takes at
most what remains of the deadline of the current call.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar, cast

import grpc
from typing_extensions import override

from services.common.config import ignore_foreign_environment
from services.common.context import CallContext, current
from services.common.metrics.upstreams import upstream_meter
from services.common.tracing.calls import CalledMethod

IP_ADDRESS = re.compile(r"[\d.]+:\d+")
MARGIN_SECONDS = 0.05
"""The part of the caller's deadline that is reserved for rendering the response."""

OPTIONS = (
    # A service that is up again is found within a second, not after the default's minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # An idle channel would forget the instances of its service.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
    ("grpc.enable_http_proxy", 0),
)

Request = TypeVar("Request")
Call = TypeVar("Call")
Continuation = Callable[[grpc.ClientCallDetails, Request], Call]
"""Makes the call and returns it, which is also its future."""
Metadata = tuple[tuple[str, str | bytes], ...]


class Mesh:
    """Opens channels to the services of the mesh.

    `xds_servers` are control planes, "host:port", in order of preference. One is connected
    when the first channel is opened, and another when it fails. With `upstreams`, only channels
    to these services can be opened: those that a manifest names.
    """

    def __init__(
        self, *, xds_servers: Sequence[str], node_id: str, upstreams: Sequence[str] | None = None
    ) -> None:
        # The library's own channel to the control plane takes no options, such as "no proxy".
        ignore_foreign_environment()
        self._upstreams = upstreams
        self._connected: dict[str, bool] = {}
        # gRPC reads its bootstrap from the environment, once, with the first xds channel.
        os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(xds_servers, node_id)

    def channel(
        self, service: str, *interceptors: grpc.UnaryUnaryClientInterceptor
    ) -> grpc.Channel:
        """Open a channel to a service by its name in Consul.

        It connects now, in the background, so that it has the endpoints by the first call,
        when the control plane may be unavailable.
        """
        if self._upstreams is not None and service not in self._upstreams:
            raise ValueError(f"{service} is not among the upstreams of the manifest")
        channel = grpc.insecure_channel(f"xds:///{service}", options=OPTIONS)
        self._connected.setdefault(service, False)
        connect(channel, lambda: self._connected.update({service: True}))
        return inheriting(channel, *interceptors)

    def health_details(self) -> Mapping[str, Callable[[], None]]:
        """Return a check of each upstream, "upstream/<name>": connected, at least once."""
        return {f"upstream/{name}": partial(self._require, name) for name in self._connected}

    def _require(self, service: str) -> None:
        if not self._connected[service]:
            raise ConnectionError(service)


def connect(channel: grpc.Channel, connected: Callable[[], None] = lambda: None) -> None:
    """Start to connect a channel in the background, without a time limit.

    `connected` is called when that succeeds for the first time.
    """

    def watch(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            channel.unsubscribe(watch)
            connected()

    channel.subscribe(watch, try_to_connect=True)


def open_channel(target: str, *interceptors: grpc.UnaryUnaryClientInterceptor) -> grpc.Channel:
    """Open a channel to any gRPC target, with the options and interceptors of the mesh."""
    channel = grpc.insecure_channel(target, options=OPTIONS)
    return inheriting(channel, *interceptors)


def bootstrap(xds_servers: Sequence[str], node_id: str) -> str:
    """Build the xDS bootstrap of this process, as JSON."""
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
    """Convert control planes to gRPC targets; IP addresses become one target.

    gRPC asks the second server of its list only for resources that it does not have yet: a
    running client would get no updates until the first is up again. Within one target it
    uses any address that answers, and only IP addresses can share a target.
    """
    if all(IP_ADDRESS.fullmatch(server) for server in xds_servers):
        return [f"ipv4:{','.join(xds_servers)}"]
    return xds_servers


@dataclass
class CallDetails(grpc.ClientCallDetails):
    """The details of a call that an interceptor passes on; grpcio has no public class."""

    method: str
    timeout: float | None
    metadata: Metadata | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class InheritingMethod:
    """A unary method of an upstream whose calls inherit from the current call.

    They have what remains of its deadline, its request id and its trace context. This is one pass
    over the arguments: an interceptor of grpcio, for which the method is made anew with each call,
    would cost a sixth of a call.
    """

    def __init__(self, method: grpc.UnaryUnaryMultiCallable, path: str = "") -> None:
        self._method = method
        self._traced = CalledMethod(path)
        self._meter = upstream_meter(path)

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **more: Any,
    ) -> Any:
        """Call and return the response."""
        return self._call(self._method, request, timeout, metadata, more)

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **more: Any,
    ) -> Any:
        """Call and return the response and the call."""
        return self._call(self._method.with_call, request, timeout, metadata, more)

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **more: Any,
    ) -> Any:
        """Begin a call."""
        return self._call(self._method.future, request, timeout, metadata, more)

    def _call(
        self,
        kind: Callable[..., Any],
        request: Any,
        timeout: float | None,
        metadata: Metadata | None,
        more: Mapping[str, Any],
    ) -> Any:
        call = current()
        if call.traceparent is None or not call.is_sampled:
            return self._meter.call(lambda: kind(request, *inherited(timeout, metadata), **more))
        parent_of_all = call.traceparent
        return self._meter.call(
            lambda: self._traced.call(
                lambda parent: kind(request, *inherited(timeout, metadata, parent), **more),
                parent_of_all,
            )
        )


class InheritingChannel:
    """A channel whose unary calls inherit from the current call; all else is the channel's."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> InheritingMethod:
        """Make a method, as generated code does."""
        return InheritingMethod(self._channel.unary_unary(method, *args, **kwargs), method)


def inheriting(
    channel: grpc.Channel, *interceptors: grpc.UnaryUnaryClientInterceptor
) -> grpc.Channel:
    """Let the unary calls of a channel inherit from the current call, under the interceptors."""
    return grpc.intercept_channel(cast(grpc.Channel, InheritingChannel(channel)), *interceptors)


def inherited(
    timeout: float | None, metadata: Metadata | None, traceparent: str | None = None
) -> tuple[float | None, Metadata]:
    """Return the timeout in seconds and the metadata of a call that the current call makes.

    `traceparent` is the span of that call, if it has one.
    """
    call = current()
    metadata = tuple(metadata or ())
    if call.request_id:
        metadata = (*metadata, ("x-request-id", call.request_id))
    if traceparent := traceparent or call.traceparent:
        metadata = (*metadata, ("traceparent", traceparent))
    return remaining_timeout(call, timeout), metadata


class OnBehalfOfCaller(grpc.UnaryUnaryClientInterceptor):
    """Passes the current caller's token on, which the upstream verifies again.

    Pass it to `Mesh.channel` for RPCs that only the caller may call. Without it, and outside
    of a call, calls are anonymous.
    """

    @override
    def intercept_unary_unary(
        self,
        continuation: Continuation[Request, Call],
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> Call:
        token = current().token
        headers = {"authorization": f"Bearer {token}" if token else ""}
        timeout = client_call_details.timeout
        return continuation(_with(client_call_details, timeout, headers), request)


def _with(
    details: grpc.ClientCallDetails, timeout: float | None, headers: Mapping[str, str | None]
) -> CallDetails:
    """Copy the details of a call with another timeout and more headers; skip empty headers."""
    more = tuple((name, value) for name, value in headers.items() if value)
    return CallDetails(
        method=details.method,
        timeout=timeout,
        metadata=(*(details.metadata or ()), *more),
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
        compression=details.compression,
    )


def remaining_timeout(call: CallContext, wanted: float | None) -> float | None:
    """Limit a timeout in seconds to what remains of the call's deadline, minus the margin."""
    remaining = call.remaining_seconds()
    if remaining is None:
        return wanted
    left = max(0.0, remaining - MARGIN_SECONDS)
    return left if wanted is None else min(wanted, left)
