"""Spans as OTLP, the protocol of OpenTelemetry's collectors."""

from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from services.common.tracing.spans import ALLOWED, VALUE_LIMIT, Span

NAMESPACE = "mamie-rosa"
_SCOPE = InstrumentationScope(name="mamie_rosa")


def encode(batch: Sequence[Span], *, service: str, instance: str) -> bytes:
    """Encode spans of one process as an ExportTraceServiceRequest."""
    resource = {
        "service.namespace": NAMESPACE,
        "service.name": service,
        "service.instance.id": instance,
    }
    scope_spans = trace_pb2.ScopeSpans(scope=_SCOPE, spans=map(_encode_span, batch))
    resource_spans = trace_pb2.ResourceSpans(
        resource=Resource(attributes=_pairs(resource)), scope_spans=[scope_spans]
    )
    return ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()


def _encode_span(span: Span) -> trace_pb2.Span:
    encoded = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=max(span.start_ns, span.end_ns),
        attributes=_pairs(_allowed(span.attributes)),
        flags=1,
    )
    if span.error:
        encoded.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        encoded.attributes.extend(_pairs({"error.type": span.error}))
    return encoded


def _allowed(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the attributes that may leave the process and have a value."""
    return {
        name: value[:VALUE_LIMIT] for name, value in attributes.items() if name in ALLOWED and value
    }


def _pairs(attributes: Mapping[str, str]) -> Iterable[KeyValue]:
    return [
        KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in attributes.items()
    ]
