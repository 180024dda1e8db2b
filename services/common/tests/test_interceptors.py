"""What happens around every call, without a socket."""

import grpc
import pytest
from google.rpc import error_details_pb2
from mamie_rosa import catalog_pb2
from mamie_rosa.catalog.v1 import catalog_pb2 as v1_pb2

from services.common import context, errors
from services.common.rpc import authorization, rest_hints
from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, InMemoryServer
from services.common.tests.fakes import ASK, DESCRIPTOR, ScriptedServicer, available
from tests.waiting import eventually

PUBLIC = v1_pb2.DESCRIPTOR.services_by_name["CatalogService"]
REQUEST_ID = {"x-request-id": "request-1"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class ShortError(errors.UnprocessableError):
    reason = "SHORT"


def answer_of(behavior, metadata=None, request=ASK):
    server = InMemoryServer(DESCRIPTOR, ScriptedServicer(behavior))
    return server.call("VerifyStock", request, metadata)


def raising(error):
    def behavior(_request):
        raise error

    return behavior


def call_seen(metadata):
    seen = []

    def behavior(_request):
        seen.append(context.current())
        return available(1)

    answer_of(behavior, metadata)
    return seen[0]


def test_an_answer_passes_as_it_is():
    answer = answer_of(lambda _request: available(7))
    assert (answer.code, answer.response) == (grpc.StatusCode.OK, available(7))


def test_an_unexpected_error_is_neutral_and_names_the_request():
    answer = answer_of(raising(RuntimeError("password=secret at db-1")), REQUEST_ID)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "request-1" in answer.text
    assert answer.facts == {"requestId": "request-1"}
    assert b"secret" not in answer.status.SerializeToString()
    assert "secret" not in answer.text


def test_the_text_of_an_unexpected_error_goes_to_the_log(log):
    answer_of(raising(RuntimeError("password=secret at db-1")), REQUEST_ID)
    crashed = [entry for entry in log if entry["event"] == "call_crashed"]
    assert [(entry["log_level"], entry["exc_info"]) for entry in crashed] == [("error", True)]


def test_a_failed_call_to_another_service_is_not_passed_on():
    answer = answer_of(raising(grpc.RpcError("upstream text")))
    assert (answer.code, "upstream" in answer.text) == (grpc.StatusCode.INTERNAL, False)


def test_an_error_carries_its_reason_and_its_facts():
    answer = answer_of(raising(ShortError("Too few.", productIds="a")))
    assert (answer.code, answer.text) == (grpc.StatusCode.FAILED_PRECONDITION, "Too few.")
    assert (answer.http, answer.reason, answer.facts) == (422, "SHORT", {"productIds": "a"})
    assert answer.detail(error_details_pb2.ErrorInfo).domain == "mamie-rosa"


def test_an_error_without_an_http_status_of_its_own_leaves_it_to_the_edge():
    assert answer_of(raising(errors.NotFoundError("Nothing."))).http is None


def test_what_was_created_is_told_to_rest_clients():
    class Creating:
        def VerifyStock(self, request, context):
            return rest_hints.created(context, available(1))

    answer = InMemoryServer(DESCRIPTOR, Creating()).call("VerifyStock", ASK)
    assert answer.http == 201


def test_a_request_that_breaks_the_rules_never_reaches_the_servicer():
    line = v1_pb2.StockLine(product_id="prod_001", quantity=1)
    request = v1_pb2.CheckStockRequest(items=[line, v1_pb2.StockLine(quantity=0)])
    answer = InMemoryServer(PUBLIC, AllMethods(PUBLIC)).call("CheckStock", request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    broken = answer.detail(error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in broken] == ["items[1].productId", "items[1].quantity"]
    assert all(violation.description for violation in broken)


class AllMethods:
    """A servicer of any service; none of its methods may be reached."""

    def __init__(self, service):
        for method in service.methods:
            setattr(self, method.name, raising(AssertionError("reached")))


def test_a_nul_in_a_string_is_the_clients_mistake():
    request = catalog_pb2.StockCheckRequest(product_id="prod\0", quantity=1)
    answer = answer_of(raising(AssertionError("reached")), request=request)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    (violation,) = answer.detail(error_details_pb2.BadRequest).field_violations
    assert violation.field == "productId"


def test_the_context_of_a_call_comes_from_its_metadata():
    call = call_seen({**ALICE, **REQUEST_ID, "traceparent": TRACE, "idempotency-key": "k"})
    assert (call.request_id, call.traceparent, call.idempotency_key) == ("request-1", TRACE, "k")
    assert (call.caller.user_id, call.caller.role) == (ALICE["x-user-id"], "customer")
    assert call.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert 0 < call.remaining_seconds() <= 5


def test_a_call_without_metadata_is_anonymous_and_gets_a_request_id():
    first, second = call_seen({}), call_seen({})
    assert first.request_id
    assert first.request_id != second.request_id
    assert (first.caller, first.trace_id, first.idempotency_key) == (context.Caller(), "", "")


def test_outside_of_a_call_the_context_is_empty():
    call_seen(REQUEST_ID)
    assert context.current() == context.CallContext()
    assert context.current().remaining_seconds() is None


def test_time_that_is_over_is_not_negative():
    assert context.CallContext(deadline=0.0).remaining_seconds() == 0.0


@pytest.mark.parametrize("header", ["", "00-abc", "a-b-c-d-e"])
def test_a_broken_trace_context_is_no_trace(header):
    assert context.CallContext(traceparent=header).trace_id == ""


def test_a_call_is_logged_once_without_its_content(log):
    request = catalog_pb2.StockCheckRequest(product_id="very-private", quantity=1)
    answer_of(lambda _request: available(1), {**ALICE, **REQUEST_ID}, request)
    (line,) = eventually(lambda: log)
    assert (line["event"], line["outcome"]) == ("call_answered", "OK")
    assert line["method"] == "/mamie_rosa.CatalogService/VerifyStock"
    assert line["elapsed_ms"] >= 0
    assert "very-private" not in repr(line)
    assert ALICE["x-user-id"] not in repr(line)


def test_a_refused_call_is_logged_with_how_it_ended(log):
    answer_of(raising(ShortError("Too few.")))
    assert [line["outcome"] for line in eventually(lambda: log)] == ["FAILED_PRECONDITION"]


@pytest.mark.parametrize(
    ("who", "ask", "reason"),
    [
        (ANONYMOUS, authorization.require_user, "NOT_SIGNED_IN"),
        (ALICE, authorization.require_user, ""),
        (ANONYMOUS, authorization.require_admin, "NOT_SIGNED_IN"),
        (ALICE, authorization.require_admin, "ADMIN_ONLY"),
        (ADMIN, authorization.require_admin, ""),
        (ANONYMOUS, lambda: authorization.require_self_or_admin(""), "NOT_SIGNED_IN"),
        (ALICE, lambda: authorization.require_self_or_admin("somebody"), "NOT_YOURS"),
        (ALICE, lambda: authorization.require_self_or_admin(ALICE["x-user-id"]), ""),
        (ADMIN, lambda: authorization.require_self_or_admin("somebody"), ""),
    ],
)
def test_who_may_do_what_is_decided_by_the_caller(who, ask, reason):
    answer = answer_of(lambda _request: ask() and available(1), who)
    assert (answer.reason if answer.code is not grpc.StatusCode.OK else "") == reason
