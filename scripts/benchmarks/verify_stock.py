"""VerifyStock, the call that the mesh is made for, beside its REST and gRPC peers."""

from collections.abc import Iterator

import psutil
from mamie_rosa import catalog_pb2

from scripts.benchmarks.caller import Load
from scripts.benchmarks.contenders import Contender
from scripts.stack.client import Stack

SKU = "prod_001"
METHOD = "/mamie_rosa.CatalogService/VerifyStock"
REQUEST = catalog_pb2.StockCheckRequest(product_id=SKU, quantity=2).SerializeToString()
JSON = f'{{"product_id": "{SKU}", "quantity": 2}}'
SHOP = "the shop, grpcio"
NATIVE_SHOP = "the shop, native server"
FAIR_PEER = "REST, SQLAlchemy (the fair peer)"
STRONGEST_PEER = "REST, asyncpg (the strongest)"
MEMORY_PEER = "REST, from memory"
ECHOES = ("gRPC echo, grpcio", "gRPC echo, grpc.aio with uvloop", "gRPC echo, pygrpc-native")


def contenders(stack: Stack) -> Iterator[Contender]:
    """Yield the catalog on each server, and its peers on the same database.

    The catalog's instances are further ones of a running stack, with everything that an instance
    does beside a call.
    """
    database = {"postgres": [stack.unit("postgres")["pid"]]}
    environment = psutil.Process(stack.unit("catalog-1")["pid"]).environ()
    for name, server in ((SHOP, "grpcio"), (NATIVE_SHOP, "native")):
        own = {
            "MAMIE_INSTANCE": f"catalog-{server}",
            "MAMIE_PORT": "{port}",
            "MAMIE_RPC_SERVER": server,
        }
        yield Contender(
            name=name,
            load=Load(kind="grpc", target="127.0.0.1:{port}", method=METHOD, body=REQUEST.hex()),
            command=["-m", "services.catalog", "serve"],
            environment=environment | own,
            pids=database,
        )
    for name, kind in (
        (FAIR_PEER, "sqlalchemy"),
        (STRONGEST_PEER, "asyncpg"),
        (MEMORY_PEER, "memory"),
    ):
        yield Contender(
            name=name,
            load=Load(kind="rest", target="http://127.0.0.1:{port}/verify-stock", body=JSON),
            command=["-m", "scripts.benchmarks.peers.rest", kind, "{port}"],
            environment={"MAMIE_STORE_URL": stack.store_url("catalog")},
            pids={} if kind == "memory" else database,
        )
    for name, kind in zip(ECHOES, ("threads", "aio", "native"), strict=True):
        yield Contender(
            name=name,
            load=Load(kind="grpc", target="127.0.0.1:{port}", method=METHOD, body=REQUEST.hex()),
            command=["-m", "scripts.benchmarks.peers.grpc_servers", kind, "{port}"],
        )
