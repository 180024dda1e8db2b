"""A whole order: what it costs in every process of the shop, and in the monolith.

The shop answers 201 and goes on: payment, confirmation, event, mail, graph. So CPU is metered until
the stack is idle again, and what an idle stack spends in that time is subtracted.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import requests

from scripts.benchmarks.caller import Load, Result
from scripts.benchmarks.contenders import Contender, call
from scripts.benchmarks.meter import CpuMeter, Reading
from scripts.benchmarks.peers import monolith
from scripts.stack.client import Stack

ADDRESS = {"line1": "1 rue des Lilas", "postalCode": "75011", "city": "Paris", "country": "FR"}
IDLE_WINDOW_SECONDS = 5.0
QUIET_SHARE = 1.3
"""The stack is idle again when it spends at most that many times what it spends idle."""
LONGEST_WAIT_SECONDS = 60.0
STOCK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class OrderCost:
    """What an order costs at a number of callers; CPU milliseconds an order by unit."""

    callers: int
    result: Result
    cpu_ms: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """Return the CPU of an order in all processes."""
        return sum(self.cpu_ms.values())


def shop_load(stack: Stack) -> Load:
    """Return the load that orders from the shop through Envoy, as a customer of its own."""
    shop = stack.url("http")
    body = {
        "email": f"bench-{uuid.uuid4()}@customers.example",
        "password": "a password for a benchmark",
        "firstName": "Rosa",
        "lastName": "Martin",
    }
    answer = requests.post(f"{shop}/api/users/register", json=body, timeout=10)
    answer.raise_for_status()
    stock_up(stack)
    return Load(
        kind="rest",
        target=f"{shop}/api/orders",
        body=json.dumps(_cart()),
        token=answer.json()["token"],
        keyed=True,
    )


def _cart() -> dict[str, object]:
    return {"items": [{"productId": "prod_001", "quantity": 1}], "shippingAddress": ADDRESS}


def stock_up(stack: Stack) -> None:
    """Stock every product with more than a benchmark buys."""
    with psycopg2.connect(stack.store_url("catalog")) as connection:
        connection.cursor().execute("UPDATE products SET stock = %s", [STOCK])
    connection.close()


def measure_order(stack: Stack, load: Load, *, callers: int, seconds: float) -> OrderCost:
    """Order for some seconds; return what an order costs until all that follows is done."""
    units = stack.describe()["units"]
    meter = CpuMeter({unit["name"]: [unit["pid"]] for unit in units if unit["pid"]})
    idle = _idle_per_second(meter)
    before, began = meter.read(), time.monotonic()
    result = call(replace(load, callers=callers, seconds=seconds))
    after = _await_quiet(meter, sum(idle.values()))
    elapsed = time.monotonic() - began
    spent = after.since(before)
    cost = {name: (spent[name] - idle[name] * elapsed) / result.calls for name in spent}
    return OrderCost(callers=callers, result=result, cpu_ms=cost)


def _idle_per_second(meter: CpuMeter) -> dict[str, float]:
    before = meter.read()
    time.sleep(IDLE_WINDOW_SECONDS)  # a window of time is what is measured
    return {name: ms / IDLE_WINDOW_SECONDS for name, ms in meter.read().since(before).items()}


def _await_quiet(meter: CpuMeter, idle_per_second: float) -> Reading:
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    reading = meter.read()
    while time.monotonic() < deadline:
        time.sleep(1.0)  # quiet is judged by what is spent in a second
        reading, before = meter.read(), reading
        if sum(reading.since(before).values()) <= QUIET_SHARE * idle_per_second:
            break
    return reading


@contextmanager
def monolith_contender(stack: Stack) -> Iterator[Contender]:
    """Yield the monolith on a database of its own in the stack's PostgreSQL."""
    admin = urlsplit(stack.server_url("postgres"))
    name = f"monolith_{uuid.uuid4().hex}"
    _run_sql(urlunsplit(admin), f"CREATE DATABASE {name}")
    url = urlunsplit(admin._replace(path=f"/{name}"))
    try:
        monolith.prepare(url, stock=STOCK)
        yield Contender(
            name="the monolith",
            load=Load(
                kind="rest",
                target="http://127.0.0.1:{port}/api/orders",
                body=json.dumps(_cart()),
                token=monolith.token_of("rosa"),
                keyed=True,
            ),
            command=["-m", "scripts.benchmarks.peers.monolith", "{port}"],
            environment={"MAMIE_STORE_URL": url},
            pids={"postgres": [stack.unit("postgres")["pid"]]},
        )
    finally:
        _run_sql(urlunsplit(admin), f"DROP DATABASE {name} WITH (FORCE)")


def _run_sql(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()
