"""Writes what was measured: a page of Markdown with plots."""

import os
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

from scripts.benchmarks.contenders import Measurement
from scripts.benchmarks.orders import OrderCost
from scripts.benchmarks.steady import Steady
from scripts.benchmarks.verify_stock import (
    ECHOES,
    FAIR_PEER,
    MEMORY_PEER,
    NATIVE_SHOP,
    SHOP,
    STRONGEST_PEER,
)

PACKAGES = (
    *("grpcio", "pygrpc-native", "protobuf", "protovalidate", "sqlalchemy", "psycopg2-binary"),
    *("fastapi", "uvicorn", "uvloop", "asyncpg", "httpx", "aiohttp"),
)


def header() -> str:
    """Return what the figures depend on, and how to read them."""
    return (
        f"{describe_machine()}\n"
        "CPU is user and system time per call, in milliseconds; the median of all rounds, which\n"
        "alternated. Trust the ratios within a table more than any single figure.\n"
    )


def describe_machine() -> str:
    """Return the interpreter and how it was built, the versions, and the cores."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    # Distributions build with PGO, whatever their options say (as in scripts/bootstrap).
    optimised = "--enable-optimizations" in options or sys.base_prefix == "/usr"
    build = "with PGO" if optimised else "without PGO"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()} ({build}).\n"
        f"{packages}.\n"
    )


def median_of(rounds: Sequence[Measurement]) -> dict[str, float]:
    """Return the median CPU per call of each group of processes."""
    groups = rounds[0].cpu_ms
    return {group: median(each.cpu_ms[group] for each in rounds) for group in groups}


def verify_stock_table(
    rounds: Mapping[str, Sequence[Measurement]], bytes_per_call: Mapping[str, float]
) -> str:
    """Return the comparison of VerifyStock with its peers."""
    lines = [
        "| | server | store | caller | server and caller | bytes | calls/s | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in rounds.items():
        cpu = median_of(measured)
        lines.append(
            f"| {name} | {cpu['server']:.3f} | {cpu.get('postgres', 0):.3f} | {cpu['caller']:.3f} "
            f"| {cpu['server'] + cpu['caller']:.3f} | {bytes_per_call[name]:.0f} "
            f"| {_rates(measured)} |"
        )
    return "\n".join(lines) + "\n"


def ratios(rounds: Mapping[str, Sequence[Measurement]]) -> str:
    """Return how many times as much CPU each peer spends, on each server of the shop."""
    cpu = {name: median_of(measured) for name, measured in rounds.items()}
    lines = ["| peer | against | server alone | server and caller |", "|---|---|---|---|"]
    for peer, ours in product(
        (FAIR_PEER, STRONGEST_PEER, MEMORY_PEER, *ECHOES), (SHOP, NATIVE_SHOP)
    ):
        alone = cpu[peer]["server"] / cpu[ours]["server"]
        both = _both_ends(cpu[peer]) / _both_ends(cpu[ours])
        lines.append(f"| {peer} | {ours} | {alone:.2f} | {both:.2f} |")
    return "\n".join(lines) + "\n"


def _both_ends(cpu: Mapping[str, float]) -> float:
    return cpu["server"] + cpu["caller"]


def edge_table(rounds: Mapping[str, Sequence[Measurement]]) -> str:
    """Return what a request through Envoy costs."""
    groups = [name for name in next(iter(rounds.values()))[0].cpu_ms if name != "caller"]
    lines = [
        f"| | {' | '.join(groups)} | requests/s | p50 ms | p99 ms |",
        "|---|" + "---|" * (len(groups) + 3),
    ]
    for name, measured in rounds.items():
        cpu = median_of(measured)
        lines.append(
            f"| {name} | {' | '.join(f'{cpu[group]:.3f}' for group in groups)} "
            f"| {_rates(measured)} |"
        )
    return "\n".join(lines) + "\n"


def _rates(measured: Sequence[Measurement]) -> str:
    """Return the cells of throughput, median and 99th percentile."""
    return (
        f"{median(each.calls_per_second for each in measured):.0f} "
        f"| {median(each.result.p50_ms for each in measured):.1f} "
        f"| {median(each.result.p99_ms for each in measured):.1f}"
    )


def orders_table(costs: Sequence[OrderCost], monolith: Sequence[Measurement]) -> str:
    """Return what an order costs in every process, beside the monolith."""
    units = sorted({name for cost in costs for name in cost.cpu_ms}, key=service_of)
    columns = [f"{cost.callers} callers" for cost in costs]
    lines = [f"| process | {' | '.join(columns)} |", "|---|" + "---|" * len(costs)]
    for service in dict.fromkeys(map(service_of, units)):
        cells = [
            f"{sum(ms for name, ms in cost.cpu_ms.items() if service_of(name) == service):.1f}"
            for cost in costs
        ]
        lines.append(f"| {service} | {' | '.join(cells)} |")
    totals = " | ".join(f"**{cost.total_ms:.1f}**" for cost in costs)
    lines.append(f"| **all** | {totals} |")
    rates = " | ".join(f"{cost.result.calls / cost.result.seconds:.1f}" for cost in costs)
    lines.append(f"| orders/s | {rates} |")
    latencies = " | ".join(f"{cost.result.p50_ms:.0f} / {cost.result.p99_ms:.0f}" for cost in costs)
    lines.append(f"| p50 / p99 ms | {latencies} |")
    peer = median_of(monolith)
    lines.append(
        f"\nThe monolith: {peer['server']:.1f} ms, PostgreSQL {peer['postgres']:.1f} ms, "
        f"{median(each.calls_per_second for each in monolith):.0f} orders/s. It has no events, no "
        "mail, no graph and no history.\n"
    )
    return "\n".join(lines)


def steady_table(found: Sequence[Steady]) -> str:
    """Return latencies at a steady rate."""
    lines = ["| | calls/s | p50 ms | p99 ms |", "|---|---|---|---|"]
    for each in found:
        result = each.result
        lines.append(
            f"| {each.name} | {each.rate:.0f} | {result.p50_ms:.1f} | {result.p99_ms:.1f} |"
        )
    return "\n".join(lines) + "\n"


def service_of(unit: str) -> str:
    """Return the service of a unit: catalog for catalog-2."""
    name, _, number = unit.rpartition("-")
    return name if number.isdigit() else unit


def plot(rounds: Mapping[str, Sequence[Measurement]], output: Path) -> None:
    """Draw CPU per call, server and caller, as SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra of the benchmark

    mpl.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    cpu = {name: median_of(measured) for name, measured in rounds.items()}
    names = list(cpu)[::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.55 * len(names) + 1.2))
    left = [0.0] * len(names)
    for group, colour in (("server", "#3b6ea5"), ("postgres", "#9db8d2"), ("caller", "#d9a441")):
        widths = [cpu[name].get(group, 0.0) for name in names]
        axes.barh(names, widths, left=left, color=colour, label=group)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_xlabel("CPU milliseconds per call")
    axes.legend()
    figure.tight_layout()
    figure.savefig(output, metadata={"Date": None})
    pyplot.close(figure)
