"""Spans from OTLP, the protocol of OpenTelemetry's exporters."""

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from scripts.traces.store import StoredSpan

MAX_NS = 2**63 - 1


class MalformedRequestError(ValueError):
    """What was sent is no ExportTraceServiceRequest, or has a span without ids."""


def decode(body: bytes) -> list[StoredSpan]:
    """Read the spans of a request; MalformedRequestError."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedRequestError(str(error)) from error
    return list(_spans(request))


def _spans(request: ExportTraceServiceRequest) -> Iterator[StoredSpan]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _span(span, resource)


def _span(span: trace_pb2.Span, resource: dict[str, str]) -> StoredSpan:
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        raise MalformedRequestError("a span has no ids")
    attributes = _values(span.attributes)
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return StoredSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=resource.get("service.name", "unknown"),
        instance=resource.get("service.instance.id", ""),
        name=span.name,
        kind=span.kind,
        start_ns=min(span.start_time_unix_nano, MAX_NS),
        end_ns=min(span.end_time_unix_nano, MAX_NS),
        error=(attributes.get("error.type") or "error") if failed else "",
        attributes=attributes,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {each.key: _text(each.value) for each in attributes}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return "" if kind is None else str(getattr(value, kind))
