"""Bare gRPC servers that answer the owner's VerifyStock from memory, without anything around.

`python -m scripts.benchmarks.peers.grpc_servers KIND PORT`; KIND is threads (grpcio), aio
(grpc.aio) or native (pygrpc-native). They show what a server costs before the shop adds its own
work.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from mamie_rosa import catalog_pb2, catalog_pb2_grpc

ANSWER = catalog_pb2.StockCheckResponse(available=True, available_quantity=100)
OPTIONS = (("grpc.so_reuseport", 0),)
THREADS = 16


class EchoServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers at once."""

    def VerifyStock(
        self, request: catalog_pb2.StockCheckRequest, context: grpc.ServicerContext
    ) -> catalog_pb2.StockCheckResponse:
        """Return the constant answer."""
        return ANSWER


class AsyncEchoServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers at once, on the loop."""

    async def VerifyStock(
        self, request: catalog_pb2.StockCheckRequest, context: Any
    ) -> catalog_pb2.StockCheckResponse:
        """Return the constant answer."""
        return ANSWER


def serve_threads(address: str) -> None:
    """Serve with grpcio's server and its thread pool."""
    _serve(grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS), address)


def serve_native(address: str) -> None:
    """Serve with pygrpc-native's server, which has the interface of grpcio's."""
    import pygrpc_native  # noqa: PLC0415 - an extra of the benchmark

    _serve(pygrpc_native.server(ThreadPoolExecutor(THREADS)), address)


def _serve(server: Any, address: str) -> None:
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(EchoServicer(), server)
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def serve_aio(address: str) -> None:
    """Serve with grpc.aio on uvloop."""
    import uvloop  # noqa: PLC0415

    async def serve() -> None:
        server = grpc.aio.server(options=OPTIONS)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(AsyncEchoServicer(), server)
        server.add_insecure_port(address)
        await server.start()
        await server.wait_for_termination()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


SERVERS = {"threads": serve_threads, "aio": serve_aio, "native": serve_native}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](f"127.0.0.1:{sys.argv[2]}")
