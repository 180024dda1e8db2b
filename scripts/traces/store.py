"""The last traces, in SQLite: one process writes them, any may read them.

A trace is found by its id, and by the ids of the requests and the orders that its spans name.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_TRACES = 5_000
"""When there are more, the oldest are deleted."""
MAX_SPANS = 5_000
"""How many spans of one trace are kept: an order that waits for payments makes some each second."""
NAMED_BY = ("mamie_rosa.request.id", "mamie_rosa.order.id", "guid:x-request-id")
"""The attributes by whose values a trace is found."""
FILE = "traces.db"

SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    position INTEGER PRIMARY KEY, trace_id TEXT NOT NULL UNIQUE, span_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS spans (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT NOT NULL, service TEXT NOT NULL,
    instance TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, error TEXT NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
    name TEXT NOT NULL, trace_id TEXT NOT NULL, PRIMARY KEY (name, trace_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_by_trace ON names (trace_id);
"""
COLUMNS = (
    *("trace_id", "span_id", "parent_id", "service", "instance", "name"),
    *("kind", "start_ns", "end_ns", "error", "attributes"),
)


@dataclass(frozen=True, kw_only=True)
class StoredSpan:
    """A span: ids in hex digits, times in nanoseconds since 1970, `error` empty without one."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    instance: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    error: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """A trace in a line: its first span, and what all its spans amount to."""

    first: StoredSpan
    end_ns: int
    span_count: int
    error_count: int


class TraceStore:
    """The traces in a folder; `max_traces` of them, the newest."""

    def __init__(self, folder: Path, *, max_traces: int = MAX_TRACES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._max_traces = max_traces
        self._connection = sqlite3.connect(folder / FILE, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")  # a lost trace is no lost order
        self._connection.executescript(SCHEMA)

    def add(self, spans: Sequence[StoredSpan]) -> None:
        """Store spans; those of a trace that has MAX_SPANS are dropped."""
        with self._lock, self._connection:
            for trace_id in {span.trace_id for span in spans}:
                self._add_trace(trace_id, [span for span in spans if span.trace_id == trace_id])
            self._delete_oldest()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _add_trace(self, trace_id: str, spans: Sequence[StoredSpan]) -> None:
        run = self._connection.execute
        run("INSERT OR IGNORE INTO traces (trace_id, span_count) VALUES (?, 0)", (trace_id,))
        (count,) = run("SELECT span_count FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
        kept = spans[: max(0, MAX_SPANS - count)]
        marks = ", ".join("?" * len(COLUMNS))
        insert = f"INSERT OR REPLACE INTO spans ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608
        self._connection.executemany(insert, map(_row, kept))
        names = {(name, trace_id) for span in kept for name in _names(span)}
        self._connection.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", names)
        run(
            "UPDATE traces SET span_count = span_count + ? WHERE trace_id = ?",
            (len(kept), trace_id),
        )

    def _delete_oldest(self) -> None:
        run = self._connection.execute
        found = run(
            "SELECT trace_id FROM traces ORDER BY position DESC LIMIT -1 OFFSET ?",
            (self._max_traces,),
        )
        for (trace_id,) in found.fetchall():
            for table in ("spans", "names", "traces"):
                run(f"DELETE FROM {table} WHERE trace_id = ?", (trace_id,))  # noqa: S608


class TraceReader:
    """Reads the traces that another process stores in a folder.

    FileNotFoundError when there is no such store.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / FILE
        if not file.exists():
            raise FileNotFoundError(file)
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=2)

    def find(self, name: str) -> Sequence[Sequence[StoredSpan]]:
        """Return the traces with an id, or that name a request or an order; the oldest first."""
        found = self._connection.execute(
            "SELECT trace_id FROM traces WHERE trace_id = :name OR trace_id IN"
            " (SELECT trace_id FROM names WHERE name = :name) ORDER BY position",
            {"name": name},
        )
        return [self._spans(trace_id) for (trace_id,) in found.fetchall()]

    def newest(self, limit: int) -> Sequence[Sequence[StoredSpan]]:
        """Return the newest traces, the newest last."""
        found = self._connection.execute(
            "SELECT trace_id FROM traces ORDER BY position DESC LIMIT ?", (limit,)
        )
        return [self._spans(trace_id) for (trace_id,) in reversed(found.fetchall())]

    def get(self, trace_id: str) -> Sequence[StoredSpan]:
        """Return the spans of a trace; none when there is no such trace."""
        return self._spans(trace_id)

    def summaries(self, name: str, limit: int) -> Sequence[TraceSummary]:
        """Return the newest traces, or those that `find` finds; the newest first."""
        found = self._connection.execute(
            "SELECT trace_id, max(end_ns), count(*), sum(error != '') FROM traces"
            " JOIN spans USING (trace_id) WHERE trace_id IN (SELECT trace_id FROM traces"
            " WHERE :name = '' OR trace_id = :name"
            " OR trace_id IN (SELECT trace_id FROM names WHERE name = :name)"
            " ORDER BY position DESC LIMIT :limit) GROUP BY position ORDER BY position DESC",
            {"name": name, "limit": limit},
        )
        return [
            TraceSummary(
                first=self._first(trace_id), end_ns=end, span_count=count, error_count=errors
            )
            for trace_id, end, count, errors in found.fetchall()
        ]

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def _first(self, trace_id: str) -> StoredSpan:
        found = self._connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM spans WHERE trace_id = ?"  # noqa: S608
            " ORDER BY start_ns, span_id LIMIT 1",
            (trace_id,),
        )
        return _span(found.fetchone())

    def _spans(self, trace_id: str) -> Sequence[StoredSpan]:
        columns = ", ".join(COLUMNS)
        found = self._connection.execute(
            f"SELECT {columns} FROM spans WHERE trace_id = ? ORDER BY start_ns, span_id",  # noqa: S608
            (trace_id,),
        )
        return [_span(row) for row in found]


def _names(span: StoredSpan) -> Iterable[str]:
    return filter(None, (span.attributes.get(name) for name in NAMED_BY))


def _row(span: StoredSpan) -> tuple[object, ...]:
    values = vars(span) | {"attributes": json.dumps(dict(span.attributes))}
    return tuple(values[name] for name in COLUMNS)


def _span(row: Sequence[object]) -> StoredSpan:
    values = dict(zip(COLUMNS, row, strict=True))
    return StoredSpan(**values | {"attributes": json.loads(str(values["attributes"]))})  # type: ignore[arg-type]
