"""VerifyStock, the call that the mesh is made for, beside its REST and gRPC peers."""

from collections.abc import Iterator

from mamie_rosa import catalog_pb2

from scripts.benchmarks.caller import Load
from scripts.benchmarks.contenders import Contender
from scripts.stack.client import Stack

SKU = "prod_001"
METHOD = "/mamie_rosa.CatalogService/VerifyStock"
REQUEST = catalog_pb2.StockCheckRequest(product_id=SKU, quantity=2).SerializeToString()
JSON = f'{{"product_id": "{SKU}", "quantity": 2}}'
SHOP = "VerifyStock (the shop)"
FAIR_PEER = "REST, SQLAlchemy (the fair peer)"
STRONGEST_PEER = "REST, asyncpg (the strongest)"
MEMORY_PEER = "REST, from memory"
ECHO = "gRPC echo, grpcio"


def contenders(stack: Stack) -> Iterator[Contender]:
    """Yield the catalog of a running stack, and its peers on the same database."""
    database = {"postgres": [stack.unit("postgres")["pid"]]}
    yield Contender(
        name=SHOP,
        load=Load(
            kind="grpc", target=stack.address("catalog-1"), method=METHOD, body=REQUEST.hex()
        ),
        pids={"server": [stack.unit("catalog-1")["pid"]], **database},
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
    for name, kind in (
        (ECHO, "threads"),
        ("gRPC echo, grpc.aio with uvloop", "aio"),
        ("gRPC echo, pygrpc-native", "native"),
    ):
        yield Contender(
            name=name,
            load=Load(kind="grpc", target="127.0.0.1:{port}", method=METHOD, body=REQUEST.hex()),
            command=["-m", "scripts.benchmarks.peers.grpc_servers", kind, "{port}"],
        )
