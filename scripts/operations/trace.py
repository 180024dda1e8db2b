"""The command of scripts/trace: the spans of a request or an order, as a waterfall.

Each line is a span, below the one that it is a part of: when it began (in milliseconds from the
first), how long it took, which process, what it did. A bar shows both times.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from scripts.operations.logs import printable
from scripts.stack.settings import DEFAULT_DATA
from scripts.traces.store import StoredSpan, TraceReader
from scripts.traces.waterfall import Trace, length, rows, title

BAR_WIDTH = 30
PIPED_WIDTH = 160
NEWEST = 20
MAX_SHOWN = 10
"""How many traces of one order are shown; the first one is that in which it was placed."""
HINT = (
    "By default 1 % of the requests are traced, and those that fail:"
    " MAMIE_TRACE_PERCENT=100 scripts/up traces all."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print traces and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    try:
        reader = TraceReader(options.data.resolve() / "traces")
    except FileNotFoundError:
        print(f"There are no traces in {options.data}: the shop has not run, or without them.")
        return 1
    if options.id is None:
        return print_newest(console, reader.newest(NEWEST))
    traces = reader.find(options.id.strip())
    if not traces:
        print(f"There is no trace of {printable(options.id)}. {HINT}")
        return 1
    for trace in traces[:MAX_SHOWN]:
        print_trace(console, trace)
    if len(traces) > MAX_SHOWN:
        print(f"{len(traces) - MAX_SHOWN} later traces are left out.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/trace", description=__doc__)
    parser.add_argument("id", nargs="?", help="of a request, a trace or an order; default: a list")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    return parser


def print_newest(console: Console, traces: Sequence[Trace]) -> int:
    """Print one line a trace, the newest last."""
    if not traces:
        print(f"There are no traces yet. {HINT}")
        return 1
    for trace in traces:
        root, *_ = rows(trace)
        failed = sum(bool(span.error) for span in trace)
        count = f"{len(trace):4} spans{f', {failed} failed' if failed else ''}"
        line = (
            f"{_moment(root.span)}  {root.span.trace_id}  {_milliseconds(length(trace)):>9} ms"
            f"  {count}  {printable(title(root.span))}"
        )
        console.print(Text(line, "red" if failed else ""), soft_wrap=True)
    return 0


def print_trace(console: Console, trace: Trace) -> None:
    """Print the waterfall of a trace."""
    begin, duration_ns = min(span.start_ns for span in trace), length(trace)
    processes = len({(span.service, span.instance) for span in trace})
    console.print(
        f"trace {trace[0].trace_id}  {_moment(trace[0])}  {_milliseconds(duration_ns)} ms,"
        f" {len(trace)} spans of {processes} processes",
        soft_wrap=True,
    )
    for row in rows(trace):
        span = row.span
        start, duration = span.start_ns - begin, span.end_ns - span.start_ns
        bar = _bar(start, duration, duration_ns)
        line = (
            f"{_milliseconds(start):>9} {_milliseconds(duration):>9} |{bar}|"
            f" {_process(span):17} {'  ' * row.depth}{printable(title(span))}"
        )
        console.print(Text(line, "red" if span.error else ""), soft_wrap=True)
    console.print()


def _process(span: StoredSpan) -> str:
    return printable(span.instance or span.service)


def _bar(start: int, duration: int, length: int) -> str:
    """Draw a bar of the time from `start` on, of BAR_WIDTH characters for `length`."""
    first = min(BAR_WIDTH - 1, BAR_WIDTH * start // max(1, length))
    size = max(1, min(BAR_WIDTH - first, round(BAR_WIDTH * duration / max(1, length))))
    return (" " * first + "=" * size).ljust(BAR_WIDTH)


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.1f}"


def _moment(span: StoredSpan) -> str:
    moment = datetime.fromtimestamp(span.start_ns / 1e9, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


if __name__ == "__main__":
    sys.exit(main())
