"""The interceptors of unary calls, without a socket."""

import json

import grpc
import pytest
from google.rpc import error_details_pb2
from mamie_rosa import catalog_pb2
from mamie_rosa.catalog.v1 import catalog_pb2 as v1_pb2

from services.common import context, errors
from services.common.context import Caller
from services.common.logging import AnsweredCallLog
from services.common.rpc import authorization, rest_hints
from services.common.rpc.testing import ADMIN_ID, ALICE, ALICE_ID, InMemoryServer
from services.common.tests.fakes import ASK, DESCRIPTOR, ScriptedServicer, available
from tests.support.waiting import eventually

PUBLIC = v1_pb2.DESCRIPTOR.services_by_name["CatalogService"]
REQUEST_ID = {"x-request-id": "request-1"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class ShortError(errors.UnprocessableError):
    reason = "SHORT"


def call(behavior, metadata=None, request=ASK):
    server = InMemoryServer(DESCRIPTOR, ScriptedServicer(behavior))
    return server.call("VerifyStock", request, metadata)


def raising(error):
    def behavior(_request):
        raise error

    return behavior


def context_of(metadata):
    contexts = []

    def behavior(_request):
        contexts.append(context.current())
        return available(1)

    call(behavior, metadata)
    return contexts[0]


def test_a_response_is_returned_unchanged():
    answer = call(lambda _request: available(7))
    assert (answer.code, answer.response) == (grpc.StatusCode.OK, available(7))


def test_an_unexpected_exception_is_neutral_and_names_the_request():
    answer = call(raising(RuntimeError("password=secret at db-1")), REQUEST_ID)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "request-1" in answer.text
    assert answer.facts == {"requestId": "request-1"}
    assert b"secret" not in answer.status.SerializeToString()
    assert "secret" not in answer.text


def test_the_text_of_an_unexpected_exception_goes_to_the_log(log):
    call(raising(RuntimeError("password=secret at db-1")), REQUEST_ID)
    crashed = [entry for entry in log if entry["event"] == "call_crashed"]
    assert [(entry["log_level"], entry["exc_info"]) for entry in crashed] == [("error", True)]


def test_the_text_of_a_failed_upstream_call_is_not_passed_on():
    answer = call(raising(grpc.RpcError("upstream text")))
    assert (answer.code, "upstream" in answer.text) == (grpc.StatusCode.INTERNAL, False)


def test_an_error_carries_its_reason_and_metadata():
    answer = call(raising(ShortError("Too few.", productIds="a")))
    assert (answer.code, answer.text) == (grpc.StatusCode.FAILED_PRECONDITION, "Too few.")
    assert (answer.http, answer.reason, answer.facts) == (422, "SHORT", {"productIds": "a"})
    assert answer.detail(error_details_pb2.ErrorInfo).domain == "mamie-rosa"


def test_an_error_without_its_own_http_status_leaves_it_to_the_edge():
    assert call(raising(errors.NotFoundError("Nothing."))).http is None


def test_created_sets_the_http_status_201():
    class Creating:
        def VerifyStock(self, request, context):
            return rest_hints.created(context, available(1))

    answer = InMemoryServer(DESCRIPTOR, Creating()).call("VerifyStock", ASK)
    assert answer.http == 201


def test_an_invalid_request_does_not_reach_the_servicer():
    line = v1_pb2.StockLine(product_id="prod_001", quantity=1)
    request = v1_pb2.CheckStockRequest(items=[line, v1_pb2.StockLine(quantity=0)])
    answer = InMemoryServer(PUBLIC, AllMethods(PUBLIC)).call("CheckStock", request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    violations = answer.detail(error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == [
        "items[1].productId",
        "items[1].quantity",
    ]
    assert all(violation.description for violation in violations)


class AllMethods:
    """A servicer of any service; its methods must not be called."""

    def __init__(self, service):
        for method in service.methods:
            setattr(self, method.name, raising(AssertionError("reached")))


def test_a_nul_in_a_string_is_an_invalid_argument():
    request = catalog_pb2.StockCheckRequest(product_id="prod\0", quantity=1)
    answer = call(raising(AssertionError("reached")), request=request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    (violation,) = answer.detail(error_details_pb2.BadRequest).field_violations
    assert violation.field == "productId"


def test_the_context_of_a_call_comes_from_its_metadata():
    current = context_of({**REQUEST_ID, "traceparent": TRACE, "idempotency-key": "k"})
    assert (current.request_id, current.traceparent, current.idempotency_key) == (
        "request-1",
        TRACE,
        "k",
    )
    assert current.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert 0 < current.remaining_seconds() <= 5


def test_a_call_without_metadata_is_anonymous_and_gets_a_request_id():
    first, second = context_of({}), context_of({})
    assert first.request_id
    assert first.request_id != second.request_id
    assert (first.caller, first.trace_id, first.idempotency_key) == (Caller(), "", "")


def test_outside_of_a_call_the_context_is_empty():
    context_of(REQUEST_ID)
    assert context.current() == context.CallContext()
    assert context.current().remaining_seconds() is None


def test_an_expired_deadline_has_no_remaining_seconds():
    assert context.CallContext(deadline=0.0).remaining_seconds() == 0.0


@pytest.mark.parametrize("header", ["", "00-abc", "a-b-c-d-e"])
def test_a_malformed_trace_context_has_no_trace_id(header):
    assert context.CallContext(traceparent=header).trace_id == ""


@pytest.fixture
def answered(capfd, monkeypatch):
    """Return a function that reads the lines of the calls that were answered."""
    monkeypatch.setattr(AnsweredCallLog, "enabled", True)

    def answered():
        lines = eventually(lambda: capfd.readouterr().out).splitlines()
        return [json.loads(line) for line in lines if "call_answered" in line]

    return answered


def test_a_call_is_logged_once_without_its_content(answered):
    request = catalog_pb2.StockCheckRequest(product_id="very-private", quantity=1)
    call(lambda _request: available(1), {**ALICE, **REQUEST_ID}, request)
    (line,) = answered()
    assert (line["event"], line["outcome"]) == ("call_answered", "OK")
    assert line["method"] == "/mamie_rosa.CatalogService/VerifyStock"
    assert line["elapsed_ms"] >= 0
    assert "very-private" not in repr(line)
    assert ALICE_ID not in repr(line)


def test_a_failed_call_is_logged_with_its_outcome(answered):
    call(raising(ShortError("Too few.")))
    assert [line["outcome"] for line in answered()] == ["FAILED_PRECONDITION"]


def test_what_a_caller_sends_cannot_break_a_line_of_the_log(answered):
    forged = {"x-request-id": 'a", "level": "b\\ "', "traceparent": '00-"x-1-0'}
    call(lambda _request: available(1), forged)
    (line,) = answered()
    assert (line["level"], line["request_id"]) == ("info", forged["x-request-id"])
    assert "trace_id" not in line


@pytest.mark.parametrize(
    ("caller", "require", "reason"),
    [
        (Caller(), authorization.require_user, "NOT_SIGNED_IN"),
        (Caller(ALICE_ID, "customer"), authorization.require_user, ""),
        (Caller(), authorization.require_admin, "NOT_SIGNED_IN"),
        (Caller(ALICE_ID, "customer"), authorization.require_admin, "ADMIN_ONLY"),
        (Caller(ADMIN_ID, "admin"), authorization.require_admin, ""),
        (Caller(), lambda: authorization.require_self_or_admin(""), "NOT_SIGNED_IN"),
        (
            Caller(ALICE_ID, "customer"),
            lambda: authorization.require_self_or_admin("another"),
            "NOT_YOURS",
        ),
        (Caller(ALICE_ID, "customer"), lambda: authorization.require_self_or_admin(ALICE_ID), ""),
        (Caller(ADMIN_ID, "admin"), lambda: authorization.require_self_or_admin("another"), ""),
        (Caller(), lambda: authorization.require_self(""), "NOT_SIGNED_IN"),
        (Caller(ADMIN_ID, "admin"), lambda: authorization.require_self("another"), "NOT_YOURS"),
        (Caller(ALICE_ID, "customer"), lambda: authorization.require_self(ALICE_ID), ""),
    ],
)
def test_authorization_depends_on_the_caller(caller, require, reason):
    with context.use(context.CallContext(caller=caller)):
        try:
            require()
        except errors.MamieRosaError as error:
            assert error.reason == reason
        else:
            assert not reason
