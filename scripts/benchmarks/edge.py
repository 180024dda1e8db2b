"""Requests through Envoy: from its cache, and transcoded to the catalog."""

from collections.abc import Iterator

from scripts.benchmarks.caller import Load
from scripts.benchmarks.contenders import Contender
from scripts.benchmarks.verify_stock import SKU
from scripts.stack.client import Stack


def contenders(stack: Stack) -> Iterator[Contender]:
    """Yield the requests; Envoy, all instances of the catalog and PostgreSQL are metered."""
    shop = stack.url("http")
    catalog = [stack.unit(name)["pid"] for name in stack.instances("catalog")]
    pids = {
        "envoy": [stack.unit("envoy")["pid"]],
        "catalog": catalog,
        "postgres": [stack.unit("postgres")["pid"]],
    }
    item = f'{{"productId": "{SKU}", "quantity": 1}}'
    for name, path, body in (
        ("a product, cached", f"/api/products/{SKU}", ""),
        (
            "the stock of a cart, never cached",
            "/api/products/check-stock",
            f'{{"items": [{item}]}}',
        ),
    ):
        load = Load(kind="rest", target=shop + path, body=body)
        yield Contender(name=name, load=load, pids=pids)
