"""What calls of the catalog cost at its present size, one after the other and under visitors.

The stack should run without rate limits and alone on its machine:
MAMIE_RATE_LIMIT_PER_MINUTE=1000000 scripts/up --detach. Calls differ from each other, so that
the edge's cache answers none of them. CPU is that of PostgreSQL and of all catalog instances.
"""

import itertools
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from scripts.benchmarks.meter import CpuMeter
from scripts.benchmarks.orders import shop_load
from scripts.load.products import RARE_WORD
from scripts.stack.client import Stack

CALLS = 100
VISITOR_SECONDS = 30.0
TASTES = ("boeuf", "poulet", "dinde", "saumon", "agneau", "gibier", "beef", "chicken", "turkey")
PRODUCT = "prod_001"

PATHS: Mapping[str, Callable[[int, int], str]] = {
    "first page": lambda n, _: f"?limit={1 + n % 100}",
    "last page": lambda n, total: f"?limit=20&page={max(1, total // 20 - n)}",
    "category": lambda n, _: f"?category=dog-food&limit={1 + n % 100}",
    "late page of a category": lambda n, total: (
        f"?category=toys&page={max(1, total // 100 - n)}&limit=20"
    ),
    "rare word": lambda n, _: f"?q={RARE_WORD}&limit={1 + n % 100}",
    "common word": lambda n, _: f"?q={TASTES[n % 9]}&limit={20 + n // 9}",
    "words": lambda n, _: f"?q={TASTES[n % 9]}+croquettes+500g&limit={20 + n // 9}",
    "beginning of a word": lambda n, _: f"?q={TASTES[n % 9][:2]}&limit={20 + n // 9}",
    "unknown word": lambda n, _: f"?q=licorne{n}",
    "product": lambda n, total: f"/{PRODUCT if total < 1000 or n == 0 else f'load_{n:07}'}",
}
"""The kinds of calls, by the number of the call and the number of products."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a kind of call costs; `failed` counts the answers that are errors."""

    name: str
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    failed: int


def measure(stack: Stack, *, visitors: int) -> str:
    """Measure every kind of call, then orders while visitors search; return a Markdown table."""
    shop = f"{stack.url('http')}/api/products"
    total = requests.get(shop, timeout=10).json()["total"]
    kinds = {name: _get(shop, build, total) for name, build in PATHS.items()}
    costs = [_measure(stack, name, call) for name, call in kinds.items()]
    order = _order(stack)
    costs.append(_measure(stack, "order", order))
    lines = [
        f"{total} products:\n",
        "| call | p50 ms | p99 ms | CPU ms a call | failed |\n|---|---|---|---|---|",
        *map(_render, costs),
        "",
        _measure_under_visitors(shop, order, visitors),
    ]
    return "\n".join(lines)


def _get(
    shop: str, build: Callable[[int, int], str], total: int
) -> Callable[[requests.Session, int], int]:
    return lambda session, n: session.get(shop + build(n, total), timeout=10).status_code


def _order(stack: Stack) -> Callable[[requests.Session, int], int]:
    load = shop_load(stack)

    def order(session: requests.Session, _: int) -> int:
        headers = {
            "authorization": f"Bearer {load.token}",
            "content-type": "application/json",
            "idempotency-key": str(uuid.uuid4()),
        }
        return session.post(load.target, data=load.body, headers=headers, timeout=10).status_code

    return order


def _measure(stack: Stack, name: str, call: Callable[[requests.Session, int], int]) -> Cost:
    units = stack.describe()["units"]
    metered = [unit["pid"] for unit in units if unit["name"].startswith(("postgres", "catalog-"))]
    meter = CpuMeter({"store and service": [pid for pid in metered if pid]})
    with requests.Session() as session:
        call(session, 0)
        before = meter.read()
        answers = [_time(session, call, n) for n in range(CALLS)]
        spent = meter.read().since(before)["store and service"]
    seconds = sorted(taken for taken, _ in answers)
    return Cost(
        name=name,
        p50_ms=statistics.median(seconds) * 1000,
        p99_ms=seconds[-2] * 1000,
        cpu_ms=spent / CALLS,
        failed=sum(code >= 400 for _, code in answers),
    )


def _time(
    session: requests.Session, call: Callable[[requests.Session, int], int], n: int
) -> tuple[float, int]:
    began = time.monotonic()
    code = call(session, n)
    return time.monotonic() - began, code


def _render(cost: Cost) -> str:
    figures = f"{cost.p50_ms:.0f} | {cost.p99_ms:.0f} | {cost.cpu_ms:.1f} | {cost.failed}"
    return f"| {cost.name} | {figures} |"


def _measure_under_visitors(
    shop: str, order: Callable[[requests.Session, int], int], visitors: int
) -> str:
    """Place orders one after the other while visitors search without a pause."""
    stop = threading.Event()
    with ThreadPoolExecutor(visitors) as pool:
        searches = [pool.submit(_visit, shop, n, stop) for n in range(visitors)]
        with requests.Session() as session:
            orders = [*_until(time.monotonic() + VISITOR_SECONDS, session, order)]
        stop.set()
        codes = [code for search in searches for code in search.result()]
    seconds = sorted(taken for taken, _ in orders)
    failed = [code for _, code in orders if code != 201]
    return (
        f"{visitors} visitors search for {VISITOR_SECONDS:.0f} s: {len(codes)} searches, "
        f"{_count(codes)}; meanwhile {len(orders)} orders one after the other, failed: "
        f"{_count(failed) or 'none'}, p50 {statistics.median(seconds) * 1000:.0f} ms, "
        f"p99 {seconds[int(len(seconds) * 0.99) - 1] * 1000:.0f} ms."
    )


def _until(
    end: float, session: requests.Session, call: Callable[[requests.Session, int], int]
) -> Iterator[tuple[float, int]]:
    while time.monotonic() < end:
        yield _time(session, call, 0)


def _visit(shop: str, visitor: int, stop: threading.Event) -> list[int]:
    codes = []
    with requests.Session() as session:
        numbers = itertools.count(visitor)
        while not stop.is_set():
            n = next(numbers)
            query = f"?q={TASTES[n % 9]}&limit={1 + n % 100}&page={1 + n % 7}"
            codes.append(session.get(shop + query, timeout=30).status_code)
    return codes


def _count(codes: list[int]) -> str:
    return ", ".join(f"{codes.count(code)} x {code}" for code in sorted(set(codes)))
