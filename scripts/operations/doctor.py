"""The command of scripts/doctor: what is wrong, and its cure; exits with 1 when something is.

It changes nothing, and works also when no shop runs.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from scripts.operations.findings import Finding, Level, run_checks, wrong
from scripts.operations.machine_checks import check_machine
from scripts.operations.mesh_checks import mesh_checks
from scripts.operations.store_checks import store_checks
from scripts.stack.client import NoStackError, Stack
from scripts.stack.folder import is_taken
from scripts.stack.settings import DEFAULT_DATA, read_settings

COLOURS = {Level.GOOD: "green", Level.WARNING: "yellow", Level.WRONG: "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every finding and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/doctor", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    options = parser.parse_args(arguments)
    for library in ("pika", "neo4j"):  # what fails is printed below, once
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return report(find(options.data.resolve()), Console(soft_wrap=True))


def find(data: Path) -> list[Finding]:
    """Check the machine, and the stack on a data directory if one runs."""
    stack, settings = Stack(data), read_settings(data)
    is_running = is_taken(data)
    state: dict[str, Any] | None = None
    try:
        state = stack.describe()
        shop: list[Finding] = []
    except NoStackError:
        shop = [missing(data, is_running=is_running)]
    machine = run_checks([lambda: check_machine(settings, is_running=is_running)])
    if state:
        checks = [*mesh_checks(state), *store_checks(state["stores"], state["urls"])]
        shop = run_checks(checks)
    return machine + shop


def missing(data: Path, *, is_running: bool) -> Finding:
    """Return what it means that no stack answers on a data directory."""
    if is_running:
        cure = f"wait a minute; then scripts/down --data {data}, scripts/up --data {data}"
        return wrong("shop", "it starts or stops, or its runner hangs", cure)
    return wrong("shop", "not running", "scripts/up")


def report(findings: Sequence[Finding], console: Console) -> int:
    """Print one line a finding, and its cure, and return the exit status."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        row = f"{finding.level.value:7}  {finding.check:{width}}  {finding.text}"
        console.print(Text(row, COLOURS[finding.level]), highlight=False)
        if finding.cure:
            console.print(Text(f"{'':9}{'':{width}}  cure: {finding.cure}"), highlight=False)
    count = sum(finding.level is Level.WRONG for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    console.print(f"{count} wrong, {warnings} warnings", highlight=False)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
