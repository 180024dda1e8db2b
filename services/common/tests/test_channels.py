"""A call to an upstream inherits deadline, ids and, if wanted, the caller of the current call."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import grpc
import pytest
from mamie_rosa import catalog_pb2, catalog_pb2_grpc

from services.common.context import CallContext, Caller, use
from services.common.mesh.channels import (
    MARGIN_SECONDS,
    CallDetails,
    OnBehalfOfCaller,
    bootstrap,
    connect,
    inherited,
    open_channel,
    remaining_timeout,
)
from tests.support.waiting import eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = (("own", "1"),)
DETAILS = CallDetails("/a/B", 2.0, OWN, None, True, None)


def details_sent(details, call=None):
    """The details that OnBehalfOfCaller passes on, within a call or outside."""
    sent = []
    with use(call) if call else nullcontext():
        OnBehalfOfCaller().intercept_unary_unary(
            lambda d, r: sent.append((d, r)), details, "request"
        )
    ((changed, request),) = sent
    assert request == "request"
    return changed


def metadata_sent(call, metadata=OWN):
    with use(call):
        return inherited(2.0, metadata)[1]


def in_seconds(seconds):
    return CallContext(deadline=time.monotonic() + seconds)


def test_without_a_deadline_a_call_keeps_its_timeout():
    assert remaining_timeout(CallContext(), 2.0) == 2.0
    assert remaining_timeout(CallContext(), None) is None


def test_a_call_takes_at_most_what_remains_minus_the_margin():
    for wanted in (2.0, None):
        left = remaining_timeout(in_seconds(1.0), wanted)
        assert left
        assert 0.5 < left <= 1.0 - MARGIN_SECONDS


def test_a_timeout_that_is_shorter_than_what_remains_is_kept():
    assert remaining_timeout(in_seconds(10.0), 2.0) == 2.0


@pytest.mark.parametrize("seconds", [-1.0, 0.0, MARGIN_SECONDS / 2])
def test_an_expired_deadline_leaves_no_time(seconds):
    assert remaining_timeout(in_seconds(seconds), 2.0) == 0.0


def test_the_ids_of_the_call_are_added_to_the_metadata():
    sent = metadata_sent(CallContext(request_id="r1", traceparent=TRACE))
    assert sent == (*OWN, ("x-request-id", "r1"), ("traceparent", TRACE))


def test_the_idempotency_key_is_not_passed_on():
    sent = metadata_sent(CallContext(request_id="r1", idempotency_key="k"))
    assert {name for name, _ in sent} == {"own", "x-request-id"}


ALICE = Caller("alice", "customer")


def test_the_caller_is_not_passed_on_by_default():
    assert metadata_sent(CallContext(caller=ALICE, token="t")) == OWN


def test_on_behalf_of_the_caller_a_call_passes_on_the_token_only():
    call = CallContext(
        request_id="r1",
        traceparent=TRACE,
        deadline=time.monotonic() + 1.0,
        caller=ALICE,
        token="alices.own.token",
        idempotency_key="k",
        accept_language="fr",
    )
    sent = details_sent(DETAILS, call)
    token = ("authorization", "Bearer alices.own.token")
    assert sent == replace(DETAILS, metadata=(*OWN, token))


@pytest.mark.parametrize("call", [None, CallContext(request_id="r1")])
def test_on_behalf_of_an_anonymous_caller_nothing_is_added(call):
    assert details_sent(DETAILS, call) == DETAILS


def test_outside_of_a_call_nothing_is_added():
    assert details_sent(DETAILS) == DETAILS
    assert inherited(2.0, OWN) == (2.0, OWN)
    assert inherited(None, None) == (None, ())


def test_an_expired_deadline_ends_a_call_of_each_kind_before_it_is_made():
    with open_channel("127.0.0.1:1") as channel, use(CallContext(deadline=0.0)):
        method = catalog_pb2_grpc.CatalogServiceStub(channel).VerifyStock
        request = catalog_pb2.StockCheckRequest()
        kinds = (
            method,
            method.with_call,
            lambda *args, **more: method.future(*args, **more).result(),
        )
        for call in kinds:
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=60, wait_for_ready=True)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("control_planes", "targets"),
    [
        (["a:1", "b:2"], ["a:1", "b:2"]),
        (["127.0.0.1:1", "b:2"], ["127.0.0.1:1", "b:2"]),
        (["127.0.0.1:1"], ["ipv4:127.0.0.1:1"]),
        (["127.0.0.1:1", "10.0.0.2:2"], ["ipv4:127.0.0.1:1,10.0.0.2:2"]),
    ],
)
def test_control_planes_with_ip_addresses_are_one_target(control_planes, targets):
    config = json.loads(bootstrap(control_planes, "orders-1"))
    assert [server["server_uri"] for server in config["xds_servers"]] == targets
    assert config["node"]["id"] == "orders-1"


def test_the_first_connection_is_reported_once():
    reports: list[str] = []
    server = grpc.server(ThreadPoolExecutor(1))
    with grpc.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}") as channel:
        connect(channel, lambda: reports.append("connected"))
        assert reports == []
        server.start()
        eventually(lambda: reports == ["connected"])
        server.stop(None).wait()
