"""Metrics and traces that a test decides."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mamie_rosa.storefront.v1 import ops_pb2
from typing_extensions import override

from services.storefront.ops.domain import MonitoringUnavailableError, TraceNotFoundError
from services.storefront.ops.prometheus import Alert, Metrics, Series, Value
from services.storefront.ops.queries import HISTORY, MESH
from services.storefront.ops.traces import Traces

NOW = datetime(2026, 11, 27, 22, 0, 7, tzinfo=UTC)
ALERT = Alert(
    name="DeadLetters",
    severity="ticket",
    summary="1 dead letters",
    runbook="docs/runbook.md#dead-letters",
    since=NOW,
    is_firing=True,
)


class FakeMetrics(Metrics):
    """Series by the names of their queries."""

    def __init__(
        self, values: Mapping[str, Sequence[Value]] = {}, past: Mapping[str, Sequence[Series]] = {}
    ) -> None:
        self.values, self.past = values, past
        self.asked: list[tuple[float, float, int]] = []
        self.is_available = True

    @override
    def query(self, query: str) -> Sequence[Value]:
        if not self.is_available:
            raise MonitoringUnavailableError
        return self.values.get(next(name for name, each in MESH.items() if each == query), [])

    @override
    def history(self, query: str, *, start: float, end: float, step: int) -> Sequence[Series]:
        self.asked.append((start, end, step))
        return self.past.get(next(name for name, each in HISTORY.items() if each == query), [])

    @override
    def alerts(self) -> Sequence[Alert]:
        return [ALERT]


class FakeTraces(Traces):
    """Traces by their ids."""

    def __init__(self, *traces: ops_pb2.Trace) -> None:
        self.traces = {trace.summary.trace_id: trace for trace in traces}
        self.asked: list[tuple[str, int]] = []

    @override
    def newest(self, id: str, limit: int) -> Sequence[ops_pb2.TraceSummary]:
        self.asked.append((id, limit))
        return [trace.summary for trace in self.traces.values()]

    @override
    def get(self, trace_id: str) -> ops_pb2.Trace:
        if trace_id not in self.traces:
            raise TraceNotFoundError
        return self.traces[trace_id]
