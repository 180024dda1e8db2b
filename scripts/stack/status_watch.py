"""The state of a running stack with the figures of its instances, once or again and again."""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from scripts.stack import view
from scripts.stack.client import Stack
from scripts.stack.figures import Sample, compare_all, read_samples
from scripts.stack.readiness import list_troubles

SAMPLE_SECONDS = 1.0
"""Between the two samples of one look."""
REFRESH_SECONDS = 2.0
HIDDEN = ("pid", "port", "version", "restarts")
"""The columns that a terminal of 80 columns has no room for."""
WINDOW = 6
"""How many samples are kept: figures are those of the last ten seconds."""


def read_status(
    stack: Stack, before: Mapping[str, Sample], after: Mapping[str, Sample] | None = None
) -> dict[str, Any]:
    """Return what the runner says, with memory, ports, figures since `before`, and troubles.

    Without `after`, it is sampled now. NoStackError when there is no stack.
    """
    state = stack.describe()
    consul = state["urls"]["consul"]
    after = read_samples(consul) if after is None else after
    figures = compare_all(before, after, [unit["name"] for unit in state["units"]])
    for unit in state["units"]:
        unit["memory"] = view.memory(unit["pid"])
        unit["port"] = view.listening_port(unit["pid"])
        found = figures[unit["name"]]
        unit["figures"] = asdict(found) if found else None
    state["memory"] = view.memory(state["pid"])  # every process is a child of the runner
    state["troubles"] = list_troubles(consul)
    return state


def watch(stack: Stack, console: Console) -> None:
    """Show the status until Ctrl-C; NoStackError when the stack has ended."""
    samples = deque([read_samples(stack.url("consul"))], maxlen=WINDOW)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            samples.append(read_samples(stack.url("consul")))
            state = read_status(stack, samples[0], samples[-1])
            troubles = Text("\n".join(state["troubles"]), "red")
            hidden = () if console.width >= view.STATUS_WIDTH else HIDDEN
            table = view.status_table(state, hidden=hidden)
            live.update(Group(table, troubles), refresh=True)
