"""How a call to another service inherits what is left of the call that is being answered."""

import json
import time

import pytest

from services.common.context import CallContext, Caller, use
from services.common.mesh.channels import (
    MARGIN_SECONDS,
    CallPropagation,
    OnBehalfOfCaller,
    bootstrap,
    remaining_timeout,
)
from services.common.mesh.channels import _Details as Details

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ASKED = Details("/a/B", 2.0, [("mine", "1")], None, True, None)


def details_sent(asked, call=None, interceptor=None):
    sent = []
    if call is None:
        through = interceptor or CallPropagation()
        through.intercept_unary_unary(lambda d, r: sent.append((d, r)), asked, "request")
    else:
        with use(call):
            return details_sent(asked, interceptor=interceptor)
    ((details, request),) = sent
    assert request == "request"
    return details


def in_seconds(seconds):
    return CallContext(deadline=time.monotonic() + seconds)


def test_without_a_deadline_a_call_takes_what_it_wants():
    assert remaining_timeout(CallContext(), 2.0) == 2.0
    assert remaining_timeout(CallContext(), None) is None


def test_a_call_takes_at_most_what_remains_less_a_margin():
    for wanted in (2.0, None):
        left = remaining_timeout(in_seconds(1.0), wanted)
        assert left
        assert 0.5 < left <= 1.0 - MARGIN_SECONDS


def test_a_call_may_want_less_than_what_remains():
    assert remaining_timeout(in_seconds(10.0), 2.0) == 2.0


@pytest.mark.parametrize("seconds", [-1.0, 0.0, MARGIN_SECONDS / 2])
def test_when_nothing_remains_a_call_gets_no_time(seconds):
    assert remaining_timeout(in_seconds(seconds), 2.0) == 0.0


def test_the_ids_of_the_call_are_passed_on_beside_the_callers_own_metadata():
    sent = details_sent(ASKED, CallContext(request_id="r1", traceparent=TRACE))
    assert sent.metadata == [("mine", "1"), ("x-request-id", "r1"), ("traceparent", TRACE)]


def test_who_called_is_not_passed_on():
    sent = details_sent(ASKED, CallContext(request_id="r1", idempotency_key="k"))
    assert {name for name, _ in sent.metadata} == {"mine", "x-request-id"}


ALICE = Caller("alice", "customer")


def test_the_caller_is_not_named_unless_asked_for():
    assert details_sent(ASKED, CallContext(caller=ALICE)).metadata == [("mine", "1")]


def test_on_behalf_of_the_caller_a_call_says_who_that_is_and_nothing_else():
    call = CallContext(
        request_id="r1",
        traceparent=TRACE,
        deadline=time.monotonic() + 1.0,
        caller=ALICE,
        idempotency_key="k",
        accept_language="fr",
    )
    sent = details_sent(ASKED, call, OnBehalfOfCaller())
    named = [("mine", "1"), ("x-user-id", "alice"), ("x-user-role", "customer")]
    assert sent == ASKED._replace(metadata=named)


@pytest.mark.parametrize("call", [None, CallContext(request_id="r1")])
def test_on_behalf_of_nobody_nothing_is_added(call):
    assert details_sent(ASKED, call, OnBehalfOfCaller()) == ASKED


def test_outside_of_a_call_nothing_is_added():
    assert details_sent(ASKED) == ASKED
    assert details_sent(ASKED._replace(metadata=None)).metadata == []


def test_what_the_caller_chose_is_kept():
    sent = details_sent(ASKED, in_seconds(60))
    assert (sent.method, sent.timeout, sent.wait_for_ready) == ("/a/B", 2.0, True)


@pytest.mark.parametrize(
    ("control_planes", "targets"),
    [
        (["a:1", "b:2"], ["a:1", "b:2"]),
        (["127.0.0.1:1", "b:2"], ["127.0.0.1:1", "b:2"]),
        (["127.0.0.1:1"], ["ipv4:127.0.0.1:1"]),
        (["127.0.0.1:1", "10.0.0.2:2"], ["ipv4:127.0.0.1:1,10.0.0.2:2"]),
    ],
)
def test_control_planes_that_are_addresses_are_one_target(control_planes, targets):
    said = json.loads(bootstrap(control_planes, "orders-1"))
    assert [server["server_uri"] for server in said["xds_servers"]] == targets
    assert said["node"]["id"] == "orders-1"
