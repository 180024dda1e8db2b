"""Stand-ins for what the shared code meets: a servicer, a server around it, a call, a proxy."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from mamie_rosa import catalog_pb2, catalog_pb2_grpc

from services.common.rpc.server import GrpcServer, ServiceBinding

SERVICE = "mamie_rosa.CatalogService"
DESCRIPTOR = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
Behavior = Callable[[catalog_pb2.StockCheckRequest], catalog_pb2.StockCheckResponse]


class ScriptedServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers VerifyStock with whatever `behavior` returns or raises."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior

    def VerifyStock(self, request, context):
        return self._behavior(request)


def available(quantity: int) -> catalog_pb2.StockCheckResponse:
    return catalog_pb2.StockCheckResponse(available=True, available_quantity=quantity)


def build_server(
    behavior: Behavior, *, port: int = 0, worker_threads: int = 4, queue_limit: int = 64
) -> GrpcServer:
    """Return a server of VerifyStock; it has not started."""
    add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
    return GrpcServer(
        bindings=[ServiceBinding(SERVICE, ScriptedServicer(behavior), add)],
        host="127.0.0.1",
        port=port,
        worker_threads=worker_threads,
        queue_limit=queue_limit,
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
    """Holds every call until `release` is set; `entered` tells that one is being answered."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, request):
        self.entered.set()
        assert self.release.wait(30)
        return available(1)


class FakeCall:
    """A call on its way; `finish` says how it ended."""

    def __init__(self) -> None:
        self._callbacks: list[Callable] = []
        self._code: grpc.StatusCode | None = None

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def add_done_callback(self, callback: Callable) -> None:
        self._callbacks.append(callback)

    def finish(self, code: grpc.StatusCode) -> None:
        self._code = code
        for callback in self._callbacks:
            callback(self)


class TcpProxy:
    """A TCP proxy in front of a server, which may be opened and shut.

    Shut it behaves as a machine on which nothing listens.
    """

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        with self._lock:
            shut = [each for each in (self._listener, *self._open) if each]
            self._listener, self._open = None, []
        for each in shut:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = listener.accept()
                back = socket.create_connection(self._behind)
                with self._lock:
                    if self._listener is not listener:
                        front.close()
                        back.close()
                        return
                    self._open += [front, back]
                for pair in ((front, back), (back, front)):
                    threading.Thread(target=_pump, args=(pair,), daemon=True).start()


def _pump(pair: Sequence[socket.socket]) -> None:
    source, target = pair
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
