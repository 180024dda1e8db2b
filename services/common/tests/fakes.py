"""A scripted servicer, a server for it, and a TCP proxy that can be closed."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from mamie_rosa import catalog_pb2, catalog_pb2_grpc
from typing_extensions import override

from services.common.rpc.server import GRPCIO, GrpcServer, ServiceBinding

SERVICE = "mamie_rosa.CatalogService"
DESCRIPTOR = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
Behavior = Callable[[catalog_pb2.StockCheckRequest], catalog_pb2.StockCheckResponse]


class ScriptedServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers VerifyStock with what `behavior` returns or raises."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior

    @override
    def VerifyStock(
        self, request: catalog_pb2.StockCheckRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.StockCheckResponse:
        return self._behavior(request)


def available(quantity: int) -> catalog_pb2.StockCheckResponse:
    return catalog_pb2.StockCheckResponse(available=True, available_quantity=quantity)


def build_server(
    behavior: Behavior,
    *,
    port: int = 0,
    worker_threads: int = 4,
    queue_limit: int = 64,
    implementation: str = GRPCIO,
) -> GrpcServer:
    """Build a server of VerifyStock; it is not started."""
    add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
    return GrpcServer(
        bindings=[ServiceBinding(SERVICE, ScriptedServicer(behavior), add)],
        host="127.0.0.1",
        port=port,
        worker_threads=worker_threads,
        queue_limit=queue_limit,
        implementation=implementation,
    )


@contextmanager
def serving(server: GrpcServer) -> Iterator[grpc.Channel]:
    """Start a server, yield a channel to it, and stop it."""
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.stop(0)


def stub(channel: grpc.Channel) -> catalog_pb2_grpc.CatalogServiceStub:
    return catalog_pb2_grpc.CatalogServiceStub(channel)


ASK = catalog_pb2.StockCheckRequest(product_id="prod_001", quantity=1)


class SlowBehavior:
    """Blocks every call until `release` is set; `entered` is set when a call has started."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, request: catalog_pb2.StockCheckRequest) -> catalog_pb2.StockCheckResponse:
        self.entered.set()
        assert self.release.wait(30)
        return available(1)


class TcpProxy:
    """A TCP proxy of a server, which can be opened and shut.

    While it is shut, connections to it are refused.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        with self._lock:
            sockets = [each for each in (self._listener, *self._connections) if each]
            self._listener, self._connections = None, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = listener.accept()
                back = socket.create_connection(self._upstream)
                with self._lock:
                    if self._listener is not listener:
                        front.close()
                        back.close()
                        return
                    self._connections += [front, back]
                for pair in ((front, back), (back, front)):
                    threading.Thread(target=_pump, args=(pair,), daemon=True).start()


def _pump(pair: Sequence[socket.socket]) -> None:
    source, target = pair
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
