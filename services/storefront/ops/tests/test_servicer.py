"""OpsService: administrators alone, and what it says without servers to ask."""

import grpc
import pytest
from mamie_rosa.storefront.v1 import ops_pb2

from services.common.rpc.testing import ADMIN, ALICE, ANONYMOUS, InMemoryServer
from services.storefront.ops.mesh import MeshView
from services.storefront.ops.servicer import OpsServicer
from services.storefront.ops.tests.fakes import NOW, FakeMetrics, FakeTraces

SERVICE = ops_pb2.DESCRIPTOR.services_by_name["OpsService"]
TRACE = ops_pb2.Trace(summary=ops_pb2.TraceSummary(trace_id="0af7651916cd43dd8448eb211c80319c"))
REQUESTS = {
    "GetMesh": ops_pb2.GetMeshRequest(),
    "GetServiceHistory": ops_pb2.GetServiceHistoryRequest(service="orders"),
    "ListTraces": ops_pb2.ListTracesRequest(),
    "GetTrace": ops_pb2.GetTraceRequest(id=TRACE.summary.trace_id),
}


def serve(metrics=None, traces=None, viewer_url=""):
    mesh = MeshView(metrics, now=lambda: NOW)
    return InMemoryServer(SERVICE, OpsServicer(mesh=mesh, traces=traces, viewer_url=viewer_url))


@pytest.mark.parametrize("method", REQUESTS)
def test_only_administrators_are_answered(method):
    ops = serve(FakeMetrics(), FakeTraces(TRACE))
    for who, reason in ((ANONYMOUS, "NOT_SIGNED_IN"), (ALICE, "ADMIN_ONLY")):
        assert ops.call(method, REQUESTS[method], who).reason == reason
    answer = ops.call(method, REQUESTS[method], ADMIN)
    assert answer.code is grpc.StatusCode.OK
    assert answer.metadata["cache-control"] == "private, no-cache"


def test_every_method_is_tested_for_that():
    assert set(REQUESTS) == {method.name for method in SERVICE.methods}


def test_without_servers_to_ask_it_says_so():
    ops = serve(viewer_url="http://localhost:16686")
    assert not ops.call("GetMesh", REQUESTS["GetMesh"], ADMIN).response.is_monitored
    listed = ops.call("ListTraces", REQUESTS["ListTraces"], ADMIN).response
    assert (listed.is_stored, listed.viewer_url) == (False, "http://localhost:16686")
    assert ops.call("GetTrace", REQUESTS["GetTrace"], ADMIN).reason == "TRACE_NOT_FOUND"


def test_a_prometheus_that_does_not_answer_is_an_error():
    metrics = FakeMetrics()
    metrics.is_available = False
    answer = serve(metrics).call("GetMesh", REQUESTS["GetMesh"], ADMIN)
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "MONITORING_UNAVAILABLE",
    )


def test_traces_are_limited():
    traces = FakeTraces()
    ops = serve(traces=traces)
    for limit in (0, 7):
        ops.call("ListTraces", ops_pb2.ListTracesRequest(find="abc", limit=limit), ADMIN)
    assert traces.asked == [("abc", 50), ("abc", 7)]


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetServiceHistory", ops_pb2.GetServiceHistoryRequest(service='a"} or up{job="')),
        ("GetServiceHistory", ops_pb2.GetServiceHistoryRequest(service="orders", minutes=1441)),
        ("ListTraces", ops_pb2.ListTracesRequest(find="../secret")),
        ("ListTraces", ops_pb2.ListTracesRequest(limit=201)),
        ("GetTrace", ops_pb2.GetTraceRequest(id="../../x")),
        ("GetTrace", ops_pb2.GetTraceRequest()),
    ],
)
def test_ids_and_limits_are_validated(method, request_):
    ops = serve(FakeMetrics(), FakeTraces())
    assert ops.call(method, request_, ADMIN).reason == "INVALID_FIELDS"
