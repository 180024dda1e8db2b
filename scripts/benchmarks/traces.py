"""What traces cost a call of VerifyStock, by the share of calls that are recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

import psutil

from scripts.benchmarks.caller import Load
from scripts.benchmarks.contenders import Contender, Measurement
from scripts.benchmarks.verify_stock import METHOD, REQUEST
from scripts.stack.client import Stack
from scripts.stack.ports import free_port

OFF = "without traces"


def contenders(stack: Stack) -> Iterator[Contender]:
    """Yield instances of the catalog that differ in nothing but their traces."""
    environment = psutil.Process(stack.unit("catalog-1")["pid"]).environ()
    load = Load(kind="grpc", target="127.0.0.1:{port}", method=METHOD, body=REQUEST.hex())
    collector, nowhere = stack.url("traces"), f"http://127.0.0.1:{free_port()}/v1/traces"
    for number, (name, url, percent) in enumerate(
        (
            (OFF, "", None),
            ("1 % of the calls", collector, 1.0),
            ("all calls", collector, 100.0),
            ("all calls, the collector is down", nowhere, 100.0),
        )
    ):
        own = {
            "MAMIE_INSTANCE": f"catalog-traces-{number}",
            "MAMIE_PORT": "{port}",
            "MAMIE_TRACES_URL": url,
        }
        yield Contender(
            name=name,
            load=replace(load, trace_percent=percent),
            command=["-m", "services.catalog", "serve"],
            environment=environment | own,
        )


def table(rounds: Mapping[str, Sequence[Measurement]]) -> str:
    """Return the CPU per call of each, and how much more that is than without traces."""
    cpu = {
        name: median(each.cpu_ms["server"] for each in measured)
        for name, measured in rounds.items()
    }
    lines = ["| VerifyStock | CPU ms per call | more | p50 ms |", "|---|---|---|---|"]
    for name, measured in rounds.items():
        more = 100 * (cpu[name] / cpu[OFF] - 1)
        p50 = median(each.result.p50_ms for each in measured)
        lines.append(f"| {name} | {cpu[name]:.3f} | {more:+.1f} % | {p50:.1f} |")
    return "\n".join(lines)
