"""What a call costs with 1 to 5 instances of the catalog and with up to a million products.

python -m scripts.benchmarks.scaling writes docs/results/scaling.md (ten quiet minutes, 3 GB).
"""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console

from scripts.benchmarks import edge
from scripts.benchmarks.contenders import Measurement, measure
from scripts.benchmarks.report import describe_machine
from scripts.benchmarks.stacks import RESULTS, running_stack
from scripts.paths import ROOT
from scripts.stack.client import Stack

PRODUCTS = (1_000, 1_000_000)
INSTANCES = (1, 2, 3, 4, 5)
ROUNDS = 3
CALLERS = 16

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The rounds of one call, at a number of products and instances."""

    products: int
    instances: int
    name: str
    rounds: Sequence[Measurement]

    def cpu_ms(self, group: str) -> float:
        """Return the median CPU milliseconds per call of a group of processes."""
        return median(each.cpu_ms[group] for each in self.rounds)

    @property
    def shop_ms(self) -> float:
        """Return what the whole shop spends on a call."""
        return sum(self.cpu_ms(group) for group in ("envoy", "catalog", "postgres"))


def measure_scaling(
    stack: Stack, *, products: Sequence[int], instances: Sequence[int], seconds: float
) -> list[Row]:
    """Measure every number of products with every number of instances."""
    rows = []
    for loaded in products:
        load = [str(ROOT / "scripts" / "load-catalog"), "--data", str(stack.data), str(loaded)]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        for count in instances:
            console.print(f"{loaded} products, {count} instances")
            stack.scale("catalog", count)
            rows += [
                Row(
                    products=loaded,
                    instances=count,
                    name=contender.name,
                    rounds=[measure(contender, seconds, CALLERS) for _ in range(ROUNDS)],
                )
                for contender in edge.contenders(stack)
            ]
    return rows


def render(rows: Sequence[Row]) -> str:
    """Return a table for each call."""
    lines = []
    for name in dict.fromkeys(row.name for row in rows):
        found = [row for row in rows if row.name == name]
        least = min(row.shop_ms for row in found)
        lines += [
            f"## {name[0].upper()}{name[1:]}\n",
            "| products | instances | envoy | catalog | postgres | all | against the least |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in found:
            figures = " | ".join(
                f"{row.cpu_ms(group):.3f}" for group in ("envoy", "catalog", "postgres")
            )
            lines.append(
                f"| {row.products:,} | {row.instances} | {figures} | {row.shop_ms:.3f} "
                f"| {row.shop_ms / least:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--data", type=Path, help="a running stack without rate limits to use")
    options = parser.parse_args()
    with running_stack(options.data) as stack:
        rows = measure_scaling(
            stack, products=PRODUCTS, instances=INSTANCES, seconds=options.seconds
        )
    page = "\n".join(
        [
            "# The catalog with more instances and more products\n",
            "`python -m scripts.benchmarks.scaling` makes this page again.\n",
            describe_machine(),
            f"CPU milliseconds per call, the median of {ROUNDS} rounds, {CALLERS} callers\n"
            "through Envoy, all instances together.\n",
            render(rows),
        ]
    )
    print(page)
    (RESULTS / "scaling.md").write_text(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
