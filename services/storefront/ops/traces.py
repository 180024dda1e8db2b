"""The traces of the trace store, over HTTP (scripts/traces/reading.py)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from mamie_rosa.storefront.v1 import ops_pb2
from typing_extensions import override

from services.storefront.ops import json_over_http
from services.storefront.ops.domain import TraceNotFoundError, TracesUnavailableError
from services.storefront.ops.json_over_http import ServerUnavailableError

Json = Mapping[str, Any]


class Traces(Protocol):
    """What is kept of traces. Each method raises TracesUnavailableError."""

    def newest(self, id: str, limit: int) -> Sequence[ops_pb2.TraceSummary]:
        """Return the newest traces, or those of an id: of a trace, a request or an order."""

    def get(self, trace_id: str) -> ops_pb2.Trace:
        """Return a trace; TraceNotFoundError."""


class TraceStore(Traces):
    """The trace store at a URL."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/traces"

    @override
    def newest(self, id: str, limit: int) -> Sequence[ops_pb2.TraceSummary]:
        found = self._get(self._url, {"id": id, "limit": str(limit)})
        return [_summary(each) for each in found["traces"]]

    @override
    def get(self, trace_id: str) -> ops_pb2.Trace:
        found = self._get(f"{self._url}/{trace_id}")
        spans = (_span(each, found["startNs"]) for each in found["spans"])
        return ops_pb2.Trace(summary=_summary(found), spans=spans)

    def _get(self, url: str, parameters: Mapping[str, str] | None = None) -> Json:
        try:
            found: Json | None = json_over_http.get(url, parameters)
        except ServerUnavailableError as error:
            raise TracesUnavailableError from error
        if found is None:
            raise TraceNotFoundError
        return found


class NoTraces(Traces):
    """There is no trace store."""

    @override
    def newest(self, id: str, limit: int) -> Sequence[ops_pb2.TraceSummary]:
        return []

    @override
    def get(self, trace_id: str) -> ops_pb2.Trace:
        raise TraceNotFoundError


def _summary(found: Json) -> ops_pb2.TraceSummary:
    start = Timestamp()
    start.FromNanoseconds(found["startNs"])
    return ops_pb2.TraceSummary(
        trace_id=found["traceId"],
        start_time=start,
        duration_seconds=_seconds(found["endNs"] - found["startNs"]),
        title=found["title"],
        span_count=found["spanCount"],
        error_count=found["errorCount"],
    )


def _span(found: Json, begin_ns: int) -> ops_pb2.TraceSpan:
    return ops_pb2.TraceSpan(
        span_id=found["spanId"],
        depth=found["depth"],
        process=found["process"],
        title=found["title"],
        error=found["error"],
        offset_seconds=_seconds(found["startNs"] - begin_ns),
        duration_seconds=_seconds(found["endNs"] - found["startNs"]),
    )


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9
