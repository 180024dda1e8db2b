"""The story of a request or of an order: its lines of all logs, in order of time.

Logs are read line by line, in two passes: the first one finds the requests of an order, the second
one the lines of these. At most MAX_LINES lines and MAX_RELATED ids are in memory at once, however
large the logs are.
"""

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

MAX_LINES = 10_000
MAX_RELATED = 10_000
MAX_LINE_BYTES = 64 * 1024
"""What is longer is read, and shown, in parts."""

OWN_REQUEST = re.compile(rb'"request_id": ?"([^"\\]{1,128})"')
OWN_TRACE = re.compile(rb'"(?:trace_id": ?"|traceparent": ?"[0-9a-f]{2}-)([0-9a-f]{32})')
OWN_ORDER = re.compile(rb'"order_id": ?"([^"\\]{1,64})"')
MOMENT = rb"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?)"
OWN_TIME = re.compile(rb'"(?:timestamp|time|\$date)": ?"' + MOMENT)
ANY_TIME = re.compile(MOMENT)
START = datetime.min.replace(tzinfo=UTC)


class Line(NamedTuple):
    """One line of a log: when it was written, by which unit of the stack, and its text."""

    time: datetime
    unit: str
    text: str


@dataclass
class Story:
    """The lines of a request or an order, the oldest first; `left_out` are too many to show."""

    lines: Sequence[Line]
    left_out: int = 0


@dataclass
class Related:
    """What belongs to an id: its requests, and its traces."""

    requests: set[bytes] = field(default_factory=set)
    traces: set[bytes] = field(default_factory=set)

    def add(self, line: bytes) -> None:
        """Add the request and the trace of a line."""
        for pattern, ids in ((OWN_REQUEST, self.requests), (OWN_TRACE, self.traces)):
            if (found := pattern.search(line)) and len(ids) < MAX_RELATED:
                ids.add(found[1])

    def has(self, line: bytes) -> bool:
        """Return whether a line is of one of the requests or traces."""
        request, trace = OWN_REQUEST.search(line), OWN_TRACE.search(line)
        is_of_trace = trace is not None and trace[1] in self.traces
        return is_of_trace or (request is not None and request[1] in self.requests)


def find_story(folder: Path, wanted: str, *, is_order: bool, max_lines: int = MAX_LINES) -> Story:
    """Return the lines that name an id, and those of the requests and traces that they name.

    A line that names another order belongs to an order's story only if it names that one too:
    reconciliation compares many orders in one request. ValueError for an empty id.
    """
    if not (name := wanted.strip().encode()):
        raise ValueError("the id is empty")
    names = _matcher(name)
    related = Related()
    for _, line in _read(folder):
        if names(line):
            related.add(line)
    count = 0

    def belongs(line: bytes) -> bool:
        nonlocal count
        found = names(line) or (
            related.has(line) and not (is_order and _names_another_order(line, name))
        )
        count += found
        return found

    lines = heapq.nsmallest(max_lines, _select(folder, belongs), key=lambda each: each.time)
    return Story(lines, count - len(lines))


def _matcher(name: bytes) -> Callable[[bytes], bool]:
    """Return what finds a whole id in a line."""
    pattern = re.compile(rb"(?<![\w-])" + re.escape(name) + rb"(?![\w-])")
    return lambda line: name in line and pattern.search(line) is not None


def _names_another_order(line: bytes, order_id: bytes) -> bool:
    found = OWN_ORDER.search(line)
    return found is not None and found[1] != order_id


def _select(folder: Path, belongs: Callable[[bytes], bool]) -> Iterator[Line]:
    """Yield the lines that belong to a story; one without a time has that of the line before."""
    times: dict[str, datetime] = {}
    for unit, line in _read(folder):
        is_wanted = belongs(line)
        # Our own lines all have a time: the regular expression is spared for most of them.
        if is_wanted or not line.startswith(b"{"):
            times[unit] = _time_of(line) or times.get(unit, START)
        if is_wanted:
            yield Line(times[unit], unit, line.decode(errors="replace").rstrip())


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each line of all logs with the name of its unit."""
    for file in sorted(folder.glob("*.log")):
        with file.open("rb") as log:
            while line := log.readline(MAX_LINE_BYTES):
                yield file.stem, line


def _time_of(line: bytes) -> datetime | None:
    if not (found := OWN_TIME.search(line) or ANY_TIME.search(line)):
        return None
    try:
        return datetime.fromisoformat(found[1].decode()).replace(tzinfo=UTC)
    except ValueError:
        return None
