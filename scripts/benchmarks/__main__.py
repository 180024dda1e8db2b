"""Measure the shop beside its peers, and write docs/results/performance.md: scripts/bench."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scripts.benchmarks import edge, orders, report, steady, traces, verify_stock, wire
from scripts.benchmarks.contenders import Contender, Measurement, measure, running
from scripts.benchmarks.stacks import RESULTS, running_stack
from scripts.stack.client import Stack

CALLERS = 16
ORDER_CALLERS = (1, 8)
console = Console(stderr=True)


def main() -> int:
    """Measure, print, and write unless it was a quick look."""
    options = _parse()
    with running_stack(options.data) as stack:
        if options.traces:
            with running(list(traces.contenders(stack))) as contenders:
                rounds = measure_rounds(contenders, options.rounds, options.seconds)
            print(traces.table(rounds))
            return 0
        with running(list(verify_stock.contenders(stack))) as contenders:
            rounds = measure_rounds(contenders, options.rounds, options.seconds)
            on_wire = wire.bytes_per_call(contenders, min(1.0, options.seconds))
        through_edge = measure_rounds(list(edge.contenders(stack)), options.rounds, options.seconds)
        at_rate = steady.measure_steady(stack, options.seconds)
        costs, monolith = measure_orders(stack, options.seconds)
    page = "\n".join(
        [
            "# Performance\n",
            "`scripts/bench` makes this page again.\n",
            report.header(),
            "## VerifyStock\n",
            f"{CALLERS} callers, each with one call in flight; bytes in both directions.\n",
            report.verify_stock_table(rounds, on_wire),
            "![CPU per call](performance-verify-stock.svg)\n",
            "How many times as much CPU the peer spends:\n",
            report.ratios(rounds),
            "## Through Envoy\n",
            f"{CALLERS} callers; CPU by process.\n",
            report.edge_table(through_edge),
            "## At a steady rate\n",
            f"{steady.CALLERS} callers; a latency counts from when the call was due.\n",
            report.steady_table(at_rate),
            "## An order\n",
            report.orders_table(costs, monolith),
        ]
    )
    print(page)
    if options.write:
        report.plot(rounds, RESULTS / "performance-verify-stock.svg")
        (RESULTS / "performance.md").write_text(page)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing is written")
    parser.add_argument("--traces", action="store_true", help="what traces cost, and nothing else")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--data", type=Path, help="a running stack without rate limits to use")
    options = parser.parse_args()
    options.write = not options.quick
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    return options


def measure_rounds(
    contenders: Sequence[Contender], rounds: int, seconds: float
) -> dict[str, list[Measurement]]:
    """Return the rounds of every contender; they alternate."""
    measured: dict[str, list[Measurement]] = {}
    for number in range(1, rounds + 1):
        for contender in contenders:
            console.print(f"round {number} of {rounds}: {contender.name}")
            found = measure(contender, seconds, CALLERS)
            measured.setdefault(contender.name, []).append(found)
    return measured


def measure_orders(
    stack: Stack, seconds: float
) -> tuple[list[orders.OrderCost], list[Measurement]]:
    """Return what an order costs in the shop, by number of callers, and in the monolith."""
    load = orders.shop_load(stack)
    costs = []
    for callers in ORDER_CALLERS:
        console.print(f"orders, {callers} callers")
        costs.append(orders.measure_order(stack, load, callers=callers, seconds=seconds))
    with orders.monolith_contender(stack) as peer, running([peer]) as started:
        console.print("orders, the monolith")
        monolith = [measure(contender, seconds, ORDER_CALLERS[-1]) for contender in started]
    return costs, monolith


if __name__ == "__main__":
    raise SystemExit(main())
