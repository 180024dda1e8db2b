"""How the stack is shown in a terminal."""

import contextlib
import time
from collections.abc import Collection, Sequence
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.stack.runner import Runner
from services.common.manifest import Manifest

TOPOLOGY_WIDTH = 150
STATUS_WIDTH = 110
STATUS_COLUMNS = (
    *("name", "state", "pid", "port", "MB", "restarts"),
    *("version", "req/s", "p95 ms", "errors/s", "queue"),
)
COLOURS = {"ready": "green", "done": "green", "failed": "red", "crashed": "red"}


class StartView:
    """The state of every unit while the stack starts; rich renders it again and again."""

    def __init__(self, runner: Runner, began: float) -> None:
        self._runner = runner
        self._began = began

    def __rich__(self) -> Table:
        """Return the table as it is now."""
        table = Table.grid(padding=(0, 2))
        for running in list(self._runner.units.values()):
            colour = COLOURS.get(running.state, "dim")
            table.add_row(running.unit.name, Text(running.state, colour))
        table.add_row("", f"{time.monotonic() - self._began:.0f} s")
        return table


def summary(state: dict[str, Any] | None) -> str:
    """Return one line about how much of a stack has started."""
    if not state:
        return "starting"
    waiting = [u["name"] for u in state["units"] if u["state"] not in ("ready", "done")]
    named = ", ".join(waiting[:4]) + (" ..." if len(waiting) > 4 else "")
    return (
        f"{len(state['units']) - len(waiting)} of {len(state['units'])} ready; waiting for {named}"
    )


def print_urls(console: Console, state: dict[str, Any], seconds: float) -> None:
    """Print the URLs of a healthy stack."""
    urls = state["urls"]
    table = Table.grid(padding=(0, 2))
    for name, url in (
        ("shop", f"{urls['http']}/api/products"),
        ("shop, HTTPS", urls["https"]),
        ("Envoy admin", urls["envoy_admin"]),
        ("Consul", f"{urls['consul']}/ui"),
        ("Prometheus", urls.get("prometheus", "left out")),
        ("administrator", f"{state['admin']['email']} / {state['admin']['password']}"),
    ):
        table.add_row(name, url)
    console.print(f"\nHealthy after {seconds:.0f} s.")
    console.print(table, highlight=False)


def print_status(console: Console, state: dict[str, Any]) -> None:
    """Print every process, the memory of all of them, and what does not pass in Consul."""
    # Never cut, also in a pipe: a narrow terminal breaks the lines.
    wide = Console(width=max(console.width, STATUS_WIDTH), file=console.file)
    wide.print(status_table(state), highlight=False)
    console.print(
        f"memory of all processes: {state['memory'] / 1e6:.0f} MB "
        "(pages that several processes share are counted once)"
    )
    for line in state["troubles"]:
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for name, url in sorted(state["urls"].items()):
        if "@" not in url:  # URLs with "@" contain passwords
            console.print(f"{name:14} {url}", highlight=False)


def status_table(state: dict[str, Any], *, hidden: Collection[str] = ()) -> Table:
    """Return a table of the processes, without hidden columns; those with calls have figures."""
    shown = [title for title in STATUS_COLUMNS if title not in hidden]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in shown:
        left = title in ("name", "state")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    for unit in state["units"]:
        if not unit["task"]:
            row = (*_row(unit), *_figures(unit.get("figures")))
            cells = dict(zip(STATUS_COLUMNS, map(str, row), strict=True))
            table.add_row(*(cells[title] for title in shown))
    return table


def _figures(figures: dict[str, Any] | None) -> tuple:
    if figures is None:
        return ("",) * 5
    return tuple("-" if value is None else value for value in figures.values())


def print_topology(services: Sequence[Manifest]) -> None:
    """Print what each service needs and offers, from the manifests."""
    console = Console(width=TOPOLOGY_WIDTH)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("service", "port", "instances", "store", "tasks", "bus", "calls", "public"):
        table.add_column(title)
    for service in services:
        table.add_row(*(word or "-" for word in _describe(service)))
    console.print(table, highlight=False)


def _describe(service: Manifest) -> tuple[str, ...]:
    bus = {"publishes": service.publishes, "consumes": service.consumes}
    return (
        service.name,
        str(service.port),
        str(service.instances),
        service.store,
        " ".join(service.tasks),
        " ".join(word for word, applies in bus.items() if applies),
        " ".join(service.upstreams),
        "yes" if service.public else "",
    )


def _row(unit: dict[str, Any]) -> tuple:
    megabytes = round(unit["memory"] / 1e6)
    return (
        unit["name"],
        unit["state"],
        unit["pid"] or "-",
        unit["port"] or "-",
        megabytes,
        unit["restarts"],
    )


def memory(pid: int | None) -> int:
    """Return the proportional memory (PSS) of a process and its children, in bytes."""
    if pid is None:
        return 0
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().pss
    return total


def listening_port(pid: int | None) -> int | None:
    """Return the lowest port that a process listens on, or one that it started."""
    if pid is None:
        return None
    ports: list[int] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            listening = (c for c in each.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
            ports.extend(connection.laddr.port for connection in listening)
    return min(ports, default=None)
