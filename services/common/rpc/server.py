"""The gRPC server of all services."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.rpc.access import NoVerifierError, is_guarded
from services.common.rpc.admission import AdmissionInterceptor, CountingThreadPool, measure
from services.common.rpc.health import IsolatedHealthServicer
from services.common.rpc.interceptors import ServiceInterceptor
from services.common.rpc.tokens import TokenVerifier

OPTIONS: Mapping[str, int] = {
    # Without this, two servers could listen on one port and share its calls at random.
    "grpc.so_reuseport": 0,
    "grpc.max_receive_message_length": 2 * 1024 * 1024,
    # More than the edge lets in (16 KiB of headers) and adds: else grpcio refuses by itself, above
    # the soft limit at random, in its own words.
    "grpc.max_metadata_size": 64 * 1024,
    "grpc.absolute_max_metadata_size": 64 * 1024,
    # Envoy and gRPC clients ping idle connections; do not close those as "too_many_pings".
    "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,
    "grpc.http2.max_ping_strikes": 0,
}


@dataclass(frozen=True)
class ServiceBinding:
    """A servicer and the generated function that adds it to a server.

    `name` is the full name of the service.
    """

    name: str
    servicer: object
    add_to_server: Callable[[Any, grpc.Server | grpc.aio.Server], None]

    @property
    def method_kinds(self) -> set[str]:
        """The kinds of its methods: "unary", "stream" (server streaming), "other"."""
        service = descriptor_pool.Default().FindServiceByName(self.name)
        return {_kind(method) for method in service.methods}

    @property
    def guarded_methods(self) -> Sequence[str]:
        """The paths of its methods that need a token."""
        service = descriptor_pool.Default().FindServiceByName(self.name)
        paths = [f"/{self.name}/{method.name}" for method in service.methods]
        return [path for path in paths if is_guarded(path)]


def _kind(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "other"
    return "stream" if method.server_streaming else "unary"


class WrongServerError(TypeError):
    """A service has methods of a kind that its server does not support."""

    def __init__(self, binding: ServiceBinding, wanted: str) -> None:
        found = ", ".join(sorted(binding.method_kinds))
        super().__init__(f"{binding.name} has {found} methods; this server is for {wanted} alone")


def require_kind(bindings: Sequence[ServiceBinding], wanted: str) -> None:
    """Raise WrongServerError unless all methods are of one kind."""
    for binding in bindings:
        if binding.method_kinds - {wanted}:
            raise WrongServerError(binding, wanted)


def require_verifier(bindings: Sequence[ServiceBinding], tokens: TokenVerifier | None) -> None:
    """Raise NoVerifierError for guarded methods without what verifies tokens."""
    for binding in bindings:
        if tokens is None and binding.guarded_methods:
            raise NoVerifierError(binding.guarded_methods[0])


class CannotListenError(Exception):
    """The address cannot be bound, usually because another process listens on it."""

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address}: it is taken, or not of this machine")
        self.address = address


def listen(server: grpc.Server | grpc.aio.Server, host: str, port: int) -> int:
    """Bind a server to an address and return the port; may raise CannotListenError."""
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise CannotListenError(f"{host}:{port}") from error


def _grpcio_server(pool: CountingThreadPool, queue_limit: int, tokens: TokenVerifier | None) -> Any:
    admission = AdmissionInterceptor(waiting=lambda: pool.waiting, limit=queue_limit)
    interceptors = [admission, ServiceInterceptor(tokens)]
    return grpc.server(pool, interceptors=interceptors, options=list(OPTIONS.items()))


def _native_server(pool: CountingThreadPool, queue_limit: int, tokens: TokenVerifier | None) -> Any:
    from services.common.rpc.native import NativeServer  # noqa: PLC0415 - its package is an extra

    return NativeServer(pool=pool, queue_limit=queue_limit, tokens=tokens, options=OPTIONS)


GRPCIO = "grpcio"
IMPLEMENTATIONS: Mapping[str, Callable[[CountingThreadPool, int, TokenVerifier | None], Any]] = {
    GRPCIO: _grpcio_server,
    "native": _native_server,
}
"""What builds a server of unary methods, given its pool, how many calls may wait, and what verifies
tokens."""


class GrpcServer:
    """A gRPC server for unary methods, with interceptors, health and reflection.

    `implementation` is one of IMPLEMENTATIONS (docs/decisions/0024-rpc-server.md).

    A streaming method would occupy a thread for as long as it streams; StreamingServer is for
    those. With `port` 0 the server chooses a free port; the attribute `port` is the actual one.
    CannotListenError when the port is taken. `tokens` verifies those of the calls whose method
    needs one; NoVerifierError if there are such methods and it is missing.
    """

    def __init__(
        self,
        *,
        bindings: Sequence[ServiceBinding],
        host: str,
        port: int,
        worker_threads: int,
        queue_limit: int,
        tokens: TokenVerifier | None = None,
        implementation: str = GRPCIO,
    ) -> None:
        require_kind(bindings, "unary")
        require_verifier(bindings, tokens)
        pool = CountingThreadPool(worker_threads, "rpc")
        measure(pool, queue_limit)
        self._server = IMPLEMENTATIONS[implementation](pool, queue_limit, tokens)
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
        """Start to serve."""
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Accept no more calls; cancel those in flight after `grace_seconds`."""
        self._server.stop(grace_seconds).wait()
