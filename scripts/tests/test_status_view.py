"""The table of scripts/status, in a pipe as in a terminal."""

import io

from rich.console import Console

from scripts.stack.status_watch import HIDDEN
from scripts.stack.view import print_status, status_table

FIGURES = {
    "version": "0.1.0",
    "requests_per_second": 1234.5,
    "p95_ms": None,
    "errors_per_second": 0.1,
    "queue": 64,
}
UNIT = {"state": "ready", "pid": 4000000, "port": 65535, "memory": 3e9, "restarts": 100}
STATE = {
    "units": [
        UNIT | {"name": "recommendations-12", "task": False, "figures": FIGURES},
        UNIT | {"name": "postgres", "task": False, "figures": None},
        UNIT | {"name": "catalog-prepare", "task": True, "figures": None},
    ],
    "memory": 2e9,
    "troubles": [],
    "urls": {},
}


def test_nothing_is_cut_in_a_pipe():
    output = io.StringIO()
    print_status(Console(file=output), STATE)
    line = next(line for line in output.getvalue().splitlines() if line.startswith("recomm"))
    assert line.split() == [
        *("recommendations-12", "ready", "4000000", "65535", "3000", "100"),
        *("0.1.0", "1234.5", "-", "0.1", "64"),
    ]
    assert "catalog-prepare" not in output.getvalue()


def test_a_narrow_terminal_has_room_for_what_is_watched():
    output = io.StringIO()
    Console(file=output, width=80).print(status_table(STATE, hidden=HIDDEN))
    assert "recommendations-12" in output.getvalue()
    assert "1234.5" in output.getvalue()
    assert "…" not in output.getvalue()
