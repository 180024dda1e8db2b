"""The traces as JSON, for the pages at /ops/traces.

GET /traces?limit=50&id=ID    the newest, or those of a trace, a request or an order
GET /traces/TRACE_ID          one of them with its spans, as a waterfall
"""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.traces.store import StoredSpan, TraceReader, TraceSummary
from scripts.traces.waterfall import rows, title

LIST = "/traces"
MAX_LIMIT = 200

Json = Mapping[str, Any]


def answer(folder: Path, target: str) -> Json | None:
    """Answer a request for a path with its query; None when there is nothing at it."""
    url = urlsplit(target)
    with closing(TraceReader(folder)) as reader:
        if url.path == LIST:
            query = parse_qs(url.query)
            return _list(reader, query.get("id", [""])[0], query.get("limit", ["50"])[0])
        parent, _, trace_id = url.path.rpartition("/")
        return _get(reader, trace_id) if parent == LIST else None


def _list(reader: TraceReader, name: str, limit: str) -> Json:
    count = min(MAX_LIMIT, int(limit)) if limit.isdecimal() else MAX_LIMIT
    return {"traces": [_summary(each) for each in reader.summaries(name, count)]}


def _get(reader: TraceReader, trace_id: str) -> Json | None:
    trace = reader.get(trace_id)
    if not trace:
        return None
    summary = TraceSummary(
        first=trace[0],
        end_ns=max(span.end_ns for span in trace),
        span_count=len(trace),
        error_count=sum(bool(span.error) for span in trace),
    )
    return _summary(summary) | {"spans": [_span(row.span, row.depth) for row in rows(trace)]}


def _summary(summary: TraceSummary) -> dict[str, Any]:
    return {
        "traceId": summary.first.trace_id,
        "startNs": summary.first.start_ns,
        "endNs": summary.end_ns,
        "title": title(summary.first),
        "spanCount": summary.span_count,
        "errorCount": summary.error_count,
    }


def _span(span: StoredSpan, depth: int) -> Json:
    return {
        "spanId": span.span_id,
        "depth": depth,
        "process": span.instance or span.service,
        "title": title(span),
        "error": span.error,
        "startNs": span.start_ns,
        "endNs": span.end_ns,
    }
