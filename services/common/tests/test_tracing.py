"""Spans of calls, stores and messages; what is recorded, and what never is."""

from dataclasses import replace

import grpc
import pytest

from services.common import errors
from services.common.context import CallContext, current, use
from services.common.mesh.channels import InheritingMethod
from services.common.rpc.testing import InMemoryServer
from services.common.tests.fakes import ASK, DESCRIPTOR, ScriptedServicer, available
from services.common.tracing import spans
from services.common.tracing.spans import REQUEST_ID, Kind
from services.common.tracing.trace_context import accept
from tests.support.waiting import eventually

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"
CALL = CallContext(traceparent=SAMPLED)
REQUEST_ID_SENT = "3f0c7a52-8f0e-4b2e-9d39-0f6c1b0a7d11"
ORDER = "56c40643-6f58-4a5e-b410-8895247364b9"


def serve(behavior, request=ASK, **metadata):
    sent = {name.replace("_", "-"): value for name, value in metadata.items()}
    return InMemoryServer(DESCRIPTOR, ScriptedServicer(behavior)).call("VerifyStock", request, sent)


def seeing(seen):
    """Return a behavior that adds the trace context of its call to a list."""

    def behavior(_request):
        seen.append(current().traceparent)
        return available(1)

    return behavior


# The trace context -----------------------------------------------------------------------


def test_a_valid_trace_context_is_accepted_without_other_flags_than_sampled():
    assert accept(SAMPLED) == SAMPLED
    assert accept(UNSAMPLED) == UNSAMPLED
    assert accept(SAMPLED[:-2] + "03") == SAMPLED
    assert accept(SAMPLED[:-2] + "02") == UNSAMPLED


def test_a_forced_trace_is_sampled():
    assert accept(UNSAMPLED, forced=True) == SAMPLED
    assert accept(None, forced=True) is None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "00-0af7-b7ad-01",
        SAMPLED + "\n",
        SAMPLED + "-extra",
        SAMPLED.upper(),
        SAMPLED.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-" + "1" * 10_000,
    ],
)
def test_a_forged_trace_context_is_dropped(forged, recorded):
    seen: list[str | None] = []
    serve(seeing(seen), traceparent=forged)
    assert seen == [None]
    assert not recorded


# Calls -----------------------------------------------------------------------------------


def test_a_sampled_call_has_a_span_and_what_it_calls_is_a_part_of_it(recorded):
    seen: list[str | None] = []
    serve(seeing(seen), traceparent=SAMPLED, x_request_id=REQUEST_ID_SENT)
    (begun,) = recorded
    assert (begun.trace_id, begun.parent_id, begun.kind) == (TRACE_ID, SPAN_ID, Kind.SERVER)
    assert seen == [begun.traceparent] == [f"00-{TRACE_ID}-{begun.span_id}-01"]
    assert begun.name == "mamie_rosa.CatalogService/VerifyStock"
    assert begun.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": begun.name,
        "rpc.response.status_code": "OK",
        REQUEST_ID: REQUEST_ID_SENT,
    }
    assert begun.start_ns <= begun.end_ns


def test_a_call_that_is_not_sampled_passes_its_trace_on_without_a_span(recorded):
    seen: list[str | None] = []
    serve(seeing(seen), traceparent=UNSAMPLED)
    assert seen == [UNSAMPLED]
    assert not recorded


def test_a_call_that_the_edge_forces_is_recorded(recorded):
    serve(lambda _request: available(1), traceparent=UNSAMPLED, x_trace="always")
    assert [each.trace_id for each in recorded] == [TRACE_ID]


def test_a_process_without_a_collector_records_nothing():
    spans.waiting.clear()
    serve(lambda _request: available(1), traceparent=SAMPLED)
    assert not spans.waiting


def failing(error):
    def behavior(_request):
        raise error

    return behavior


@pytest.mark.parametrize("traceparent", [SAMPLED, UNSAMPLED])
def test_a_call_that_fails_is_always_recorded(recorded, traceparent):
    serve(failing(errors.StoreUnavailableError()), traceparent=traceparent)
    eventually(lambda: recorded)  # the call ends before what is written about it
    (begun,) = recorded
    assert (begun.error, begun.trace_id, begun.parent_id) == ("UNAVAILABLE", TRACE_ID, SPAN_ID)
    assert begun.start_ns < begun.end_ns


def test_a_rejection_is_an_answer_and_no_error(recorded):
    serve(failing(errors.NotFoundError("Nothing.")), traceparent=UNSAMPLED)
    serve(failing(errors.NotFoundError("Nothing.")), traceparent=SAMPLED)
    eventually(lambda: recorded)
    (begun,) = recorded
    assert (begun.error, begun.attributes["rpc.response.status_code"]) == ("", "NOT_FOUND")


class Method(grpc.UnaryUnaryMultiCallable):
    """A method of a stub that records the metadata of its calls, and fails with `error`."""

    def __init__(self, error=None):
        self.sent = []
        self._error = error

    def __call__(self, request, timeout=None, metadata=None, *_options, **_more):
        self.sent.append(dict(metadata or ()))
        if self._error:
            raise self._error
        return "answer"

    def with_call(self, *arguments, **more):
        raise NotImplementedError

    def future(self, *arguments, **more):
        raise NotImplementedError


class UnavailableError(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


def test_the_upstream_continues_from_the_span_of_its_client(recorded):
    method = Method()
    with use(CALL):
        assert InheritingMethod(method, "/a.B/C")("request") == "answer"
    (begun,) = recorded
    assert method.sent == [{"traceparent": begun.traceparent}]
    assert (begun.name, begun.kind, begun.parent_id) == ("a.B/C", Kind.CLIENT, SPAN_ID)
    assert begun.attributes["rpc.response.status_code"] == "OK"


def test_a_failed_call_to_an_upstream_ends_its_span_with_the_code(recorded):
    with use(CALL), pytest.raises(UnavailableError):
        InheritingMethod(Method(UnavailableError()), "/a.B/C")("request")
    (begun,) = recorded
    assert begun.error == begun.attributes["rpc.response.status_code"] == "UNAVAILABLE"


def test_a_call_to_an_upstream_that_is_not_sampled_has_no_span(recorded):
    method = Method()
    with use(replace(CALL, traceparent=UNSAMPLED)):
        InheritingMethod(method, "/a.B/C")("request")
    assert method.sent == [{"traceparent": UNSAMPLED}]
    assert not recorded
