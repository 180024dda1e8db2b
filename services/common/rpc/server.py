"""The one way to build a gRPC server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.rpc.admission import AdmissionInterceptor, CountingThreadPool
from services.common.rpc.health import IsolatedHealthServicer
from services.common.rpc.interceptors import GuardInterceptor

OPTIONS: Mapping[str, int] = {
    # Two servers on one port would share its calls by chance: refuse to start instead.
    "grpc.so_reuseport": 0,
    "grpc.max_receive_message_length": 2 * 1024 * 1024,
    # Envoy and gRPC clients ping idle connections; never answer that with "too many pings".
    "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,
    "grpc.http2.max_ping_strikes": 0,
}


@dataclass(frozen=True)
class ServiceBinding:
    """A servicer, and what protoc generated for it. `name` is the full service name."""

    name: str
    servicer: object
    add_to_server: Callable[[Any, grpc.Server], None]

    @property
    def shapes(self) -> set[str]:
        """Return what kinds of methods it has: "unary", "stream" (of answers), "other"."""
        service = descriptor_pool.Default().FindServiceByName(self.name)
        return {_shape(method) for method in service.methods}


def _shape(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "other"
    return "stream" if method.server_streaming else "unary"


class WrongServerError(TypeError):
    """A service has methods that its server is not for: a fault of whoever wires them."""

    def __init__(self, binding: ServiceBinding, wanted: str) -> None:
        found = ", ".join(sorted(binding.shapes))
        super().__init__(f"{binding.name} has {found} methods; this server is for {wanted} alone")


def require_shape(bindings: Sequence[ServiceBinding], wanted: str) -> None:
    """Raise WrongServerError unless all methods are of the wanted kind."""
    for binding in bindings:
        if binding.shapes - {wanted}:
            raise WrongServerError(binding, wanted)


class CannotListenError(Exception):
    """The address cannot be listened on, most often because somebody else does."""

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address}: it is taken, or not of this machine")
        self.address = address


def listen(server: grpc.Server | grpc.aio.Server, host: str, port: int) -> int:
    """Let a server listen and return the port; CannotListenError when that cannot be."""
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise CannotListenError(f"{host}:{port}") from error


class GrpcServer:
    """A gRPC server with the interceptors, health and reflection that all of ours have.

    For unary methods: one that streams would keep a thread for as long as it does
    (services.common.rpc.streaming has a server for those). `port` 0 takes any free port; `port`
    then tells which. CannotListenError when the port is taken.
    """

    def __init__(
        self,
        *,
        bindings: Sequence[ServiceBinding],
        host: str,
        port: int,
        worker_threads: int,
        queue_limit: int,
    ) -> None:
        require_shape(bindings, "unary")
        pool = CountingThreadPool(worker_threads, "rpc")
        admission = AdmissionInterceptor(waiting=lambda: pool.waiting, limit=queue_limit)
        self._server = grpc.server(
            pool, interceptors=[admission, GuardInterceptor()], options=list(OPTIONS.items())
        )
        self.names = [binding.name for binding in bindings]
        self.health = IsolatedHealthServicer()
        for binding in bindings:
            binding.add_to_server(binding.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        reflection.enable_server_reflection(
            (*self.names, "grpc.health.v1.Health", reflection.SERVICE_NAME), self._server
        )
        self.port = listen(self._server, host, port)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, finish those in flight, at most `grace_seconds` long."""
        self._server.stop(grace_seconds).wait()
