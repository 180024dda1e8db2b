"""Prometheus and the trace store as they answer over HTTP, and as they do not."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from services.common.context import CallContext, use
from services.storefront.ops.domain import (
    MonitoringUnavailableError,
    TraceNotFoundError,
    TracesUnavailableError,
)
from services.storefront.ops.json_over_http import parse_url
from services.storefront.ops.prometheus import Prometheus
from services.storefront.ops.traces import TraceStore

TRACE = "0af7651916cd43dd8448eb211c80319c"


class FakeServer(HTTPServer):
    """Answers every request with `answer`, a status and a body, and remembers the paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.answer: tuple[int, object] = (500, b"")
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self):
        self.server.paths.append(self.path)
        status, body = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """Yield a server whose answer the test decides."""
    with FakeServer() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def success(**data):
    return 200, {"status": "success", "data": data}


def test_a_query_has_the_series_with_a_value(server):
    sample = [1_795_000_000.1, "0.25"]
    nothing = [1_795_000_000.1, "NaN"]
    server.answer = success(
        resultType="vector",
        result=[
            {"metric": {"service": "orders"}, "value": sample},
            {"metric": {"service": "users"}, "value": nothing},
        ],
    )
    assert Prometheus(server.url).query('up{job="a"}') == [({"service": "orders"}, 0.25)]
    assert server.paths == ["/api/v1/query?query=up%7Bjob%3D%22a%22%7D"]


def test_a_history_has_gaps_where_there_is_no_value(server):
    values = [[10, "1"], [20, "NaN"], [30, "+Inf"], [40, "2.5"]]
    server.answer = success(result=[{"metric": {}, "values": values}])
    found = Prometheus(server.url).history("up", start=10, end=40, step=10)
    assert found == [({}, {10: 1.0, 40: 2.5})]


def test_alerts_have_their_section_of_the_runbook(server):
    alert = {
        "labels": {"alertname": "StuckOrders", "severity": "page"},
        "annotations": {"summary": "an order", "runbook": "docs/runbook.md#stuck-orders"},
        "state": "pending",
        "activeAt": "2026-11-27T22:00:00.123456789Z",
        "value": "1e+00",
    }
    older = alert | {"activeAt": "2026-11-27T21:00:00Z", "state": "firing"}
    server.answer = success(alerts=[alert, older])
    first, second = Prometheus(server.url).alerts()
    assert (first.is_firing, second.is_firing) == (True, False)
    assert (second.name, second.severity, second.runbook) == (
        *("StuckOrders", "page"),
        "docs/runbook.md#stuck-orders",
    )


@pytest.mark.parametrize(
    "answer",
    [
        (404, b""),
        (503, b"starting"),
        (400, {"status": "error", "error": "parse error"}),
        (200, b"<html>"),
        (200, b"[]"),
        (200, {}),
        (302, b""),
    ],
)
def test_whatever_else_prometheus_says_it_is_unavailable(server, answer):
    server.answer = answer
    with pytest.raises(MonitoringUnavailableError):
        Prometheus(server.url).query("up")


def test_nothing_waits_longer_than_the_callers_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with (
            use(CallContext(deadline=begun + 0.2)),
            pytest.raises(MonitoringUnavailableError),
        ):
            Prometheus(url).query("up")
        assert time.monotonic() - begun < 1
    with pytest.raises(TracesUnavailableError):
        TraceStore(url).newest("", 1)


def test_a_trace_has_seconds_from_its_begin(server):
    begin = 1_795_000_000_000_000_000
    span = {"spanId": "1", "depth": 1, "process": "orders-1", "title": "x", "error": "INTERNAL"}
    times = {"startNs": begin + 500_000_000, "endNs": begin + 2_000_000_000}
    server.answer = (
        200,
        {"traceId": TRACE, "startNs": begin, "endNs": begin + 3_000_000_000, "title": "POST"}
        | {"spanCount": 2, "errorCount": 1, "spans": [span | times]},
    )
    trace = TraceStore(server.url).get(TRACE)
    assert (trace.summary.start_time.seconds, trace.summary.duration_seconds) == (
        1_795_000_000,
        3,
    )
    assert (trace.spans[0].offset_seconds, trace.spans[0].duration_seconds) == (0.5, 1.5)
    assert server.paths == [f"/traces/{TRACE}"]


def test_a_trace_that_is_not_stored_is_not_found(server):
    server.answer = (404, b"")
    with pytest.raises(TraceNotFoundError):
        TraceStore(server.url).get(TRACE)


@pytest.mark.parametrize("text", ["prometheus:9090", "ftp://host", "http://", "http://h/?x=1"])
def test_a_url_is_one_of_http(text):
    with pytest.raises(ValueError, match="URL"):
        parse_url(text)
    assert parse_url("http://host:9090/") == "http://host:9090"
    assert parse_url("") == ""
