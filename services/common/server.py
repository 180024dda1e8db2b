"""The one way to build a gRPC server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.admission import AdmissionInterceptor, CountingThreadPool
from services.common.health import IsolatedHealthServicer
from services.common.interceptors import GuardInterceptor

OPTIONS: Mapping[str, int] = {
    # Two servers on one port would share its calls by chance: refuse to start instead.
    "grpc.so_reuseport": 0,
    "grpc.max_receive_message_length": 2 * 1024 * 1024,
    # Envoy and gRPC clients ping idle connections; never answer that with "too many pings".
    "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,
    "grpc.http2.max_ping_strikes": 0,
}


@dataclass(frozen=True)
class Servicer:
    """A servicer, and what protoc generated for it. `name` is the full service name."""

    name: str
    servicer: object
    add_to_server: Callable[[Any, grpc.Server], None]


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

    `port` 0 takes any free port; `port` then tells which. CannotListenError when the
    port is taken.
    """

    def __init__(
        self,
        *,
        servicers: Sequence[Servicer],
        host: str,
        port: int,
        worker_threads: int,
        queue_limit: int,
    ) -> None:
        pool = CountingThreadPool(worker_threads, "rpc")
        admission = AdmissionInterceptor(waiting=lambda: pool.waiting, limit=queue_limit)
        self._server = grpc.server(
            pool, interceptors=[admission, GuardInterceptor()], options=list(OPTIONS.items())
        )
        self.names = [servicer.name for servicer in servicers]
        self.health = IsolatedHealthServicer()
        for servicer in servicers:
            servicer.add_to_server(servicer.servicer, self._server)
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
