"""The spans of a trace in the order of a waterfall, and what each of them did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scripts.traces.store import StoredSpan

Trace = Sequence[StoredSpan]


@dataclass(frozen=True)
class Row:
    """A span, and how deep it is below the top."""

    span: StoredSpan
    depth: int


def length(trace: Trace) -> int:
    """Return the nanoseconds from the first begin to the last end."""
    return max(span.end_ns for span in trace) - min(span.start_ns for span in trace)


def rows(trace: Trace) -> Iterator[Row]:
    """Yield the spans, each after the one that it is a part of, in order of time.

    A span whose parent is not here is at the top: a process was killed before it exported that, or
    only the error was recorded.
    """
    known = {span.span_id for span in trace}
    children: dict[str, list[StoredSpan]] = {}
    for span in trace:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    shown: set[str] = set()
    # Parents may be forged into a circle: what is not below the top comes after it.
    for begin in (children.get("", []), trace):
        waiting = [Row(span, 0) for span in _newest_first(begin)]
        while waiting:
            row = waiting.pop()
            if row.span.span_id not in shown:
                shown.add(row.span.span_id)
                yield row
                below = _newest_first(children.get(row.span.span_id, []))
                waiting += [Row(span, row.depth + 1) for span in below]


def _newest_first(spans: Trace) -> Trace:
    return sorted(spans, key=lambda span: span.start_ns, reverse=True)


def title(span: StoredSpan) -> str:
    """Return what a span did: a name without its package, and what went wrong."""
    *_, service, method = ["", *span.name.rsplit("/", 1)]
    name = f"{service.rpartition('.')[2]}/{method}" if service else method
    if path := span.attributes.get("http.url"):
        name = f"{name} {path} {span.attributes.get('http.status_code', '')}"
    return f"{name} {'! ' + span.error if span.error else ''}".rstrip()
