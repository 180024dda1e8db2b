"""Many shoppers at once, each with time to think: python -m scripts.load.shoppers.

A visit is home, a category, a search, two products, an order, and two looks at the order; then the
next visit begins. Who waits longer for an answer thinks no less. All shoppers are one process on
the same machine, and its CPU is shown beside the shop's.
"""

import argparse
import asyncio
import json
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
from rich.console import Console

from scripts.benchmarks.caller import percentile
from scripts.benchmarks.footprint import Footprint, footprints
from scripts.benchmarks.meter import CpuMeter
from scripts.benchmarks.orders import ADDRESS, stock_up
from scripts.benchmarks.report import describe_machine, service_of
from scripts.benchmarks.stacks import RESULTS, running_stack
from scripts.load.measure import TASTES
from scripts.load.products import CATEGORIES
from scripts.stack.client import Stack

SIGNING_UP_AT_ONCE = 8
TIMEOUT_SECONDS = 30.0

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long shoppers shop, and how long each thinks after an answer."""

    seconds: float
    warm_up_seconds: float
    think_seconds: float


@dataclass
class Tally:
    """What shoppers met: latencies in milliseconds and failures by kind of request."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget what was before, as the warm-up is over."""
        self.milliseconds.clear()
        self.failures.clear()

    @property
    def count(self) -> int:
        """Return the number of requests that were answered as expected."""
        return sum(map(len, self.milliseconds.values()))


class Shopper:
    """One customer who visits the shop again and again."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        tally: Tally,
        products: Sequence[str],
        think_seconds: float,
        random: Random,
    ) -> None:
        self._session = session
        self._tally = tally
        self._products = products
        self._think_seconds = think_seconds
        self._random = random
        self._headers: dict[str, str] = {}

    async def sign_up(self) -> None:
        """Register; an error of aiohttp when the shop rejects it."""
        account = {
            "email": f"shopper-{uuid.uuid4().hex}@customers.example",
            "password": uuid.uuid4().hex,
            "firstName": "Odile",
            "lastName": "Bernard",
        }
        async with self._session.post("/api/users/register", json=account) as answer:
            answer.raise_for_status()
            self._headers = {"authorization": f"Bearer {(await answer.json())['token']}"}

    async def shop(self) -> None:
        """Visit until cancelled; the first request comes at any moment of a pause."""
        await asyncio.sleep(self._random.uniform(0, self._think_seconds))
        while True:
            await self._visit()

    async def _visit(self) -> None:
        choose = self._random.choice
        await self._get("home", "/api/home")
        await self._get("list", f"/api/products?category={choose(CATEGORIES)}&limit=20")
        await self._get("search", f"/api/products?q={choose(TASTES)}&limit=20")
        for _ in range(2):
            product = choose(self._products)
            await self._get("detail", f"/api/products/{product}")
        items = [{"productId": product, "quantity": 1}]
        body = {"items": items, "shippingAddress": ADDRESS}
        key = {"idempotency-key": str(uuid.uuid4())}
        if order := await self._send("order", "POST", "/api/orders", body, key):
            for _ in range(2):
                await self._get("track", f"/api/orders/{json.loads(order)['orderId']}")

    async def _get(self, kind: str, path: str) -> None:
        await self._send(kind, "GET", path, None, {})

    async def _send(
        self, kind: str, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> bytes:
        """Send a request, then think; return the answer's body, empty when it failed."""
        began = time.perf_counter()
        answered = b""
        try:
            async with self._session.request(
                method, path, json=body, headers={**self._headers, **headers}
            ) as answer:
                answered = await answer.read()
                if answer.status >= 400:
                    self._tally.failures[f"{kind}: {answer.status}"] += 1
                    answered = b""
        except (aiohttp.ClientError, TimeoutError) as error:
            self._tally.failures[f"{kind}: {type(error).__name__}"] += 1
        if answered:
            self._tally.milliseconds[kind].append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._think_seconds)
        return answered


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to; CPU is in cores, by service."""

    shoppers: int
    seconds: float
    tally: Tally
    cores: Mapping[str, float]
    early: Mapping[str, Footprint]
    late: Mapping[str, Footprint]


async def run(stack: Stack, plan: Plan, shoppers: int) -> Outcome:
    """Let shoppers shop for the planned time after the warm-up."""
    tally = Tally()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    url = stack.url("http")
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        async with session.get("/api/products?limit=100") as answer:
            answer.raise_for_status()
            products = [each["productId"] for each in (await answer.json())["products"]]
        crowd = [
            Shopper(
                session,
                tally=tally,
                products=products,
                think_seconds=plan.think_seconds,
                random=Random(n),  # noqa: S311 - the same visits each time
            )
            for n in range(shoppers)
        ]
        await _sign_up(crowd)
        console.print(f"{shoppers} signed up; warming up")
        tasks = [asyncio.create_task(shopper.shop()) for shopper in crowd]
        await asyncio.sleep(plan.warm_up_seconds)
        outcome = await _observe(stack, tally, shoppers, plan.seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


async def _sign_up(crowd: Sequence[Shopper]) -> None:
    at_once = asyncio.Semaphore(SIGNING_UP_AT_ONCE)

    async def sign_up(shopper: Shopper) -> None:
        async with at_once:
            await shopper.sign_up()

    await asyncio.gather(*map(sign_up, crowd))


async def _observe(stack: Stack, tally: Tally, shoppers: int, seconds: float) -> Outcome:
    """Count for a time, which is what is measured; memory is read twice."""
    pids = {unit["name"]: [unit["pid"]] for unit in stack.describe()["units"] if unit["pid"]}
    meter = CpuMeter(pids | {"shoppers": [os.getpid()]})
    tally.clear()
    before, began = meter.read(), time.monotonic()
    await asyncio.sleep(seconds / 10)
    early = footprints(pids)
    await asyncio.sleep(began + seconds - time.monotonic())
    spent, elapsed = meter.read().since(before), time.monotonic() - began
    cores: Counter[str] = Counter()
    for name, milliseconds in spent.items():
        cores[service_of(name)] += milliseconds / 1000 / elapsed  # type: ignore[assignment]
    copy = Tally(defaultdict(list, tally.milliseconds), Counter(tally.failures))
    late = footprints(pids)
    return Outcome(
        shoppers=shoppers, seconds=elapsed, tally=copy, cores=cores, early=early, late=late
    )


def render(outcome: Outcome) -> str:
    """Return a run as Markdown."""
    tally = outcome.tally
    lines = [
        f"## {outcome.shoppers} shoppers, {outcome.seconds / 60:.0f} minutes\n",
        f"{tally.count / outcome.seconds:.0f} requests/s, "
        f"{len(tally.milliseconds['order']) / outcome.seconds:.1f} orders/s, "
        f"failed: {_describe(tally.failures)}.\n",
        "| request | count | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|---|",
    ]
    for kind, found in tally.milliseconds.items():
        ordered = sorted(found)
        figures = " | ".join(f"{percentile(ordered, share):.0f}" for share in (0.5, 0.95, 0.99))
        lines.append(f"| {kind} | {len(ordered)} | {figures} |")
    lines += [
        "\n| process | cores | MiB early, late | descriptors early, late | threads early, late |",
        "|---|---|---|---|---|",
    ]
    for name, cores in sorted(outcome.cores.items(), key=lambda item: -item[1]):
        cells = [
            f"{getattr(outcome.early[name], what):.0f}, {getattr(outcome.late[name], what):.0f}"
            if name in outcome.early
            else ""
            for what in ("memory", "descriptors", "threads")
        ]
        lines.append(f"| {name} | {cores:.2f} | {' | '.join(cells)} |")
    lines.append(f"| **all** | **{sum(outcome.cores.values()):.2f}** | | | |\n")
    return "\n".join(lines)


def _describe(failures: Counter[str]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in failures.items()) or "none"


def main() -> int:
    """Run one crowd after the other, print, and write docs/results/shoppers.md."""
    parser = argparse.ArgumentParser(prog="scripts/shoppers", description=__doc__)
    parser.add_argument("shoppers", type=int, nargs="*", default=[1000], help="how many, in turn")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each crowd")
    parser.add_argument("--think", type=float, default=5.0, help="seconds after an answer")
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds before it counts")
    parser.add_argument("--data", type=Path, help="a running stack without rate limits to use")
    parser.add_argument("--print-only", action="store_true", help="write no page")
    options = parser.parse_args()
    plan = Plan(
        seconds=options.minutes * 60, warm_up_seconds=options.warm_up, think_seconds=options.think
    )
    sections = []
    with running_stack(options.data) as stack:
        stock_up(stack)
        for count in options.shoppers:
            outcome = asyncio.run(run(stack, plan, count))
            sections.append(render(outcome))
            print(sections[-1])
    page = "\n".join(
        [
            "# Shoppers\n",
            "`scripts/shoppers` makes this page again.\n",
            describe_machine(),
            _EXPLAINED.format(think=plan.think_seconds),
            *sections,
        ]
    )
    if not options.print_only:
        (RESULTS / "shoppers.md").write_text(page)
    return 0


_EXPLAINED = (
    "Each shopper thinks for {think:.0f} s on average after each answer. A visit: home,\n"
    "a category, a search, two products, an order, two looks at the order. Default numbers of\n"
    "instances; the shoppers run on the same cores and are the line of that name. A process's\n"
    "line has all instances of a service; early is after a tenth of the time.\n"
)

if __name__ == "__main__":
    raise SystemExit(main())
