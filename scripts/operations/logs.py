"""The command of scripts/logs: the logs of the processes, or one story across all of them.

A story is that of a request, of a trace, or of an order.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from scripts.operations.story import Line, Story, find_story
from scripts.stack.plan import log_folder
from scripts.stack.settings import DEFAULT_DATA

STORIES = ("request", "trace", "order")
SHOWN_ELSEWHERE = {"event", "timestamp", "time", "level", "service", "instance", "request_id"}
"""Fields of a line that are in a column of their own, or say the same as one."""
EDGE_FIELDS = ("status", "grpc_status", "duration_ms", "attempts", "flags", "detail", "instance")
COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print logs, or a story, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    folder = log_folder(options.data.resolve())
    chosen = [kind for kind in STORIES if getattr(options, kind) is not None]
    if not chosen:
        return tail(folder, options.service, follow=options.follow)
    if options.service or options.follow:
        parser.error("a story is that of all services, as it is now")
    (kind,) = chosen
    wanted = getattr(options, kind)
    try:
        story = find_story(folder, wanted, is_order=kind == "order")
    except ValueError as error:
        parser.error(str(error))
    if not story.lines:
        print(f"There is no line of {kind} {printable(wanted)} in the logs in {folder}.")
        return 1
    print_story(story)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/logs", description=__doc__)
    parser.add_argument("service", nargs="?", default="", help="the beginning of a name")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines are written")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    story = parser.add_mutually_exclusive_group()
    story.add_argument("--request", metavar="ID", help="the story of a request, in order of time")
    story.add_argument("--trace", metavar="ID", help="the story of a trace")
    story.add_argument("--order", metavar="ID", help="the story of an order: all its requests")
    return parser


def tail(folder: Path, service: str, *, follow: bool) -> int:
    """Print the end of the logs of all processes, or of one service."""
    files = sorted(folder.glob(f"{service}*.log"))
    if not files:
        print(f"There are no logs of {service or 'anything'} in {folder}.")
        return 1
    command = ["tail", "-n", "200", *(["-F"] if follow else []), *map(str, files)]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 0


def print_story(story: Story) -> None:
    """Print one line a line of the logs: time (UTC), unit, request, what happened."""
    console = Console(soft_wrap=True)
    width = max(len(line.unit) for line in story.lines)
    for line in story.lines:
        moment = f"{line.time:%Y-%m-%d %H:%M:%S}.{line.time.microsecond // 1000:03}"
        request, what, colour = render(line)
        row = f"{moment}  {line.unit:{width}}  {request:8}  {what}"
        console.print(Text(row, colour), highlight=False)
    if story.left_out:
        console.print(f"{story.left_out} later lines are left out.", highlight=False)


def render(line: Line) -> tuple[str, str, str]:
    """Return the beginning of a line's request id, what the line says, and its colour."""
    try:
        fields = json.loads(line.text)
    except ValueError:
        return "-", printable(line.text), ""
    if not isinstance(fields, dict):
        return "-", printable(line.text), ""
    request = printable(str(fields.get("request_id") or "-"))[:8]
    if "path" in fields and "rpc" in fields:
        return request, _render_edge(fields), "red" if _is_failure(fields) else "cyan"
    shown = {name: value for name, value in fields.items() if name not in SHOWN_ELSEWHERE}
    what = f"{printable(str(fields.get('event', '-')))} {_pairs(shown)}"
    return request, what.rstrip(), COLOURS.get(str(fields.get("level")), "")


def _render_edge(fields: Mapping[str, Any]) -> str:
    shown = {name: fields[name] for name in EDGE_FIELDS if fields.get(name) not in (None, "-")}
    request = f"{fields.get('method')} {fields.get('path')}"
    return f"{printable(request)} {_pairs(shown)}"


def _is_failure(fields: Mapping[str, Any]) -> bool:
    status = fields.get("status")
    return isinstance(status, int) and status >= 500


def _pairs(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{printable(name)}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)


def printable(text: str) -> str:
    """Return a text without what would move the cursor of a terminal: callers wrote parts of it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


if __name__ == "__main__":
    sys.exit(main())
