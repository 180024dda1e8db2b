"""The traces that the local trace store has."""

import secrets
from collections.abc import Callable, Sequence

from scripts.stack.client import Stack
from scripts.traces.store import StoredSpan, TraceReader
from tests.support.waiting import eventually

MILLION = 1_000_000


def sampled_traceparent() -> str:
    """Return a new trace context whose id is within any share of ids that the edge records."""
    return _traceparent(0)


def unsampled_traceparent() -> str:
    """Return one whose id is within no share but all; its flag says the contrary."""
    return _traceparent(MILLION - 1)


def _traceparent(position: int) -> str:
    """Return a trace context; the edge records it if `position` is below its share of a million.

    Envoy takes the first half of the id as a little-endian number, modulo a million.
    """
    number = secrets.randbelow(2**40) * MILLION + position
    trace_id = number.to_bytes(8, "little").hex() + secrets.token_hex(8)
    return f"00-{trace_id}-{secrets.token_hex(8)}-{'01' if position else '00'}"


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a trace context."""
    return traceparent.split("-")[1]


def await_spans(
    stack: Stack, trace_id: str, wanted: Callable[[Sequence[StoredSpan]], object]
) -> Sequence[StoredSpan]:
    """Return the spans of a trace, as soon as they are as wanted."""

    def found() -> Sequence[StoredSpan] | None:
        traces = TraceReader(stack.data / "traces").find(trace_id)
        return traces[0] if traces and wanted(traces[0]) else None

    return eventually(found, seconds=20)


def parts_of(spans: Sequence[StoredSpan]) -> set[tuple[str, str]]:
    """Return each (service, what it did): a system for stores and the bus, else the name."""
    return {
        (
            span.service,
            span.attributes.get("db.system.name") or span.name.rpartition("/")[2],
        )
        for span in spans
    }
