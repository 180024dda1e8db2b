"""Spans on their way to a collector that works, fails, or is not there."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.common.tracing import export, spans
from services.common.tracing.export import SpanExporter
from services.common.tracing.spans import Kind
from tests.support.waiting import eventually

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def recording():
    spans.waiting.clear()
    spans.enable()
    yield
    spans.enable(enabled=False)
    spans.waiting.clear()


def record(count=1):
    for number in range(count):
        span = spans.begin(f"span {number}", Kind.INTERNAL, {}, parent=PARENT)
        assert span
        span.end()


class Collector:
    """Takes requests, or fails while `is_down`."""

    def __init__(self):
        self.is_down = False
        self.names = []

    def __call__(self, request):
        if self.is_down:
            raise ConnectionRefusedError
        for each in ExportTraceServiceRequest.FromString(request).resource_spans:
            self.names += [span.name for scope in each.scope_spans for span in scope.spans]


def exporter(send, **options):
    return SpanExporter(url="", service="orders", instance="orders-1", send=send, **options)


def test_spans_are_exported_in_their_order():
    collector = Collector()
    record(3)
    exporter(collector).export_batch()
    assert collector.names == ["span 0", "span 1", "span 2"]
    assert not spans.waiting


def test_without_a_span_nothing_is_sent():
    def send(_request):
        raise AssertionError

    exporter(send).export_batch()


def test_a_collector_that_fails_is_one_line_of_the_log_however_often(log):
    collector = Collector()
    collector.is_down = True
    exporting = exporter(collector)
    for _ in range(5):
        record()
        exporting.export_batch()
    collector.is_down = False
    record()
    exporting.export_batch()
    assert [line["event"] for line in log] == ["traces_not_exported", "traces_exported_again"]
    assert collector.names == ["span 0"]


def test_attempts_become_rarer_while_a_collector_fails():
    collector = Collector()
    collector.is_down = True
    exporting = exporter(collector, interval_seconds=1.0)
    delays = []
    for _ in range(8):
        record()
        exporting.export_batch()
        delays.append(exporting._delay_seconds)
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_the_newest_spans_are_kept_when_too_many_wait():
    record(spans.QUEUE_LIMIT + 10)
    assert len(spans.waiting) == spans.QUEUE_LIMIT
    assert spans.waiting[0].name == "span 10"


def test_a_worker_exports_in_the_background_and_the_rest_when_it_stops():
    collector = Collector()
    exporting = exporter(collector, interval_seconds=0.01)
    exporting.start()
    record()
    eventually(lambda: collector.names == ["span 0"])
    record(2)
    exporting.stop()
    assert collector.names == ["span 0", "span 0", "span 1"]
    assert not spans.is_recording()


class Handler(BaseHTTPRequestHandler):
    received: list[bytes] = []
    status = 200

    def do_POST(self):
        self.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


@pytest.mark.parametrize(("status", "delay"), [(200, 0.0), (503, export.INTERVAL_SECONDS)])
def test_spans_are_posted_over_http(status, delay, monkeypatch):
    monkeypatch.setattr(Handler, "status", status)
    monkeypatch.setattr(Handler, "received", [])
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        exporting = SpanExporter(url=url, service="orders", instance="orders-1")
        record()
        exporting.export_batch()
        serving.join(10)
    (request,) = Handler.received
    assert ExportTraceServiceRequest.FromString(request).resource_spans
    assert exporting._delay_seconds == delay


def test_a_collector_that_is_not_there_holds_up_no_call():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        exporting = SpanExporter(
            url=f"http://127.0.0.1:{port}/v1/traces", service="orders", instance="orders-1"
        )
        exporting.start()
        began = time.monotonic()
        record(1_000)
        assert time.monotonic() - began < 1.0
        eventually(lambda: exporting._delay_seconds > 0)
        exporting.stop()


def test_a_collector_that_does_not_answer_holds_up_no_call_and_no_stop(monkeypatch):
    monkeypatch.setattr(export, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporting = SpanExporter(
            url=f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces",
            service="orders",
            instance="orders-1",
            interval_seconds=0.01,
        )
        exporting.start()
        record()
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            record(1_000)
            assert time.monotonic() - began < 1.0
            eventually(lambda: exporting._delay_seconds > 0)
            exporting.stop()
            assert time.monotonic() - began < 3.0
