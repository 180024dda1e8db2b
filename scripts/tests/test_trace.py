"""The local trace store, and the command that shows what it has."""

import gzip
import socket
import threading
from dataclasses import replace

import pytest
import requests

from scripts.operations.trace import main
from scripts.traces import store as store_module
from scripts.traces.receiver import MAX_BYTES, PATH, Receiver
from scripts.traces.store import StoredSpan, TraceReader, TraceStore
from scripts.traces.waterfall import rows
from services.common.tracing import otlp, spans

TRACE, OTHER = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"
ORDER = "56c40643-6f58-4a5e-b410-8895247364b9"
REQUEST = "1e8092d5-1e80-4048-bfc1-dc335577fbec"
BEGIN = 1_795_000_000_000_000_000
ROOT = StoredSpan(
    trace_id=TRACE,
    span_id="0000000000000001",
    parent_id="",
    service="envoy",
    instance="",
    name="POST",
    kind=2,
    start_ns=BEGIN,
    end_ns=BEGIN + 80_000_000,
    error="",
    attributes={
        "http.url": "/api/orders",
        "http.status_code": "201",
        "guid:x-request-id": REQUEST,
    },
)
CREATE = replace(
    ROOT,
    span_id="0000000000000002",
    parent_id=ROOT.span_id,
    service="orders",
    instance="orders-2",
    name="mamie_rosa.orders.v1.OrdersService/CreateOrder",
    start_ns=BEGIN + 2_000_000,
    attributes={"mamie_rosa.order.id": ORDER},
)
PAY = replace(
    CREATE,
    span_id="0000000000000003",
    parent_id=CREATE.span_id,
    name="saga CAPTURE_PAYMENT",
    start_ns=BEGIN + 90_000_000,
    end_ns=BEGIN + 100_000_000,
    error="UNAVAILABLE",
)


@pytest.fixture
def store(tmp_path):
    """Yield the store of a data directory."""
    store = TraceStore(tmp_path / "traces", max_traces=3)
    yield store
    store.close()


@pytest.fixture
def reader(store, tmp_path):
    return TraceReader(tmp_path / "traces")


def run(capsys, tmp_path, *arguments):
    status = main(["--data", str(tmp_path), *arguments])
    return status, capsys.readouterr().out.splitlines()


# The store -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [TRACE, ORDER, REQUEST])
def test_a_trace_is_found_by_its_id_its_request_and_its_order(store, reader, name):
    store.add([PAY, ROOT, CREATE])
    assert reader.find(name) == [[ROOT, CREATE, PAY]]
    assert reader.find("another") == []


def test_a_span_that_is_sent_twice_is_stored_once(store, reader):
    store.add([ROOT])
    store.add([ROOT])
    assert reader.find(TRACE) == [[ROOT]]


def test_the_oldest_traces_are_deleted_with_all_their_names(store, reader):
    traces = [replace(CREATE, trace_id=f"{number:032x}") for number in range(5)]
    for span in traces:
        store.add([span])
    assert [trace[0].trace_id for trace in reader.find(ORDER)] == [
        f"{number:032x}" for number in (2, 3, 4)
    ]
    assert [trace[0].trace_id[-1] for trace in reader.newest(2)] == ["3", "4"]


def test_a_trace_without_end_is_cut(store, reader, monkeypatch):
    monkeypatch.setattr(store_module, "MAX_SPANS", 2)
    store.add([ROOT])
    store.add([CREATE, PAY])
    assert reader.find(TRACE) == [[ROOT, CREATE]]


# The receiver ----------------------------------------------------------------------------


@pytest.fixture
def url(store):
    """Yield the URL of a receiver."""
    with Receiver(store, 0) as receiver:
        serving = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{receiver.server_port}{PATH}"
        receiver.shutdown()
        serving.join()


def exported():
    """Return a request as services send it, with one span."""
    span = spans.Span(f"00-{TRACE}-{ROOT.span_id}-01", "a.B/C", spans.Kind.SERVER, {})
    span.end("INTERNAL")
    spans.waiting.clear()
    return otlp.encode([span], service="orders", instance="orders-1")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_what_a_service_exports_is_stored(url, reader, encoding):
    body = gzip.compress(exported()) if encoding == "gzip" else exported()
    answer = requests.post(url, data=body, headers={"content-encoding": encoding}, timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    ((span,),) = reader.find(TRACE)
    assert (span.service, span.instance, span.name) == ("orders", "orders-1", "a.B/C")
    assert (span.parent_id, span.error) == (ROOT.span_id, "INTERNAL")
    assert span.start_ns <= span.end_ns


def test_a_body_in_chunks_is_read_as_envoy_sends_it(url, reader):
    body = exported()
    for _ in range(2):  # on one connection
        chunks = iter([body[:7], body[7:]])
        assert requests.post(url, data=chunks, timeout=5).status_code == 200
    assert len(reader.newest(10)) == 1


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        (b"xyz\r\n", 400),
        (b"-5\r\n", 413),
        (b"7fffffffffffffff\r\n", 413),
        (b"", 400),
    ],
)
def test_malformed_chunks_are_rejected(url, reader, chunks, status):
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + chunks)
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile().readline().split()[1] == str(status)
    assert reader.newest(10) == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff", {}, 400),
        (b"{}", {"content-type": "application/json"}, 400),
        (b"\x0a\x04\x12\x02\x12\x00", {}, 400),  # a span without ids
        (b"no gzip", {"content-encoding": "gzip"}, 400),
        (b"", {"content-length": str(MAX_BYTES + 1)}, 413),
    ],
)
def test_what_is_no_span_is_rejected(url, reader, body, headers, status):
    assert requests.post(url, data=body, headers=headers, timeout=5).status_code == status
    assert reader.newest(10) == []


def test_another_path_is_not_found(url):
    assert requests.post(f"{url}/x", data=exported(), timeout=5).status_code == 404


def ask(url, path):
    return requests.get(url.replace(PATH, path), timeout=5)


@pytest.mark.parametrize("name", ["", TRACE, ORDER, REQUEST])
def test_the_page_gets_traces_in_a_line_each(url, store, name):
    store.add([PAY, CREATE, ROOT])
    store.add([replace(ROOT, trace_id=OTHER, attributes={})])
    shown = ask(url, f"/traces?id={name}").json()["traces"]
    assert [each["traceId"] for each in shown] == ([TRACE] if name else [OTHER, TRACE])
    assert shown[-1] == {
        "traceId": TRACE,
        "startNs": BEGIN,
        "endNs": BEGIN + 100_000_000,
        "title": "POST /api/orders 201",
        "spanCount": 3,
        "errorCount": 1,
    }
    assert len(ask(url, f"/traces?id={name}&limit=1").json()["traces"]) == 1


def test_the_page_gets_a_trace_as_a_waterfall(url, store):
    store.add([PAY, CREATE, ROOT])
    spans = ask(url, f"/traces/{TRACE}").json()["spans"]
    assert [(each["depth"], each["process"], each["error"]) for each in spans] == [
        (0, "envoy", ""),
        (1, "orders-2", ""),
        (2, "orders-2", "UNAVAILABLE"),
    ]


@pytest.mark.parametrize("path", [f"/traces/{OTHER}", "/traces/", "/", "/traces/x/y"])
def test_the_page_gets_404_for_what_is_not_stored(url, path):
    assert ask(url, path).status_code == 404


def test_no_id_is_taken_as_sql_and_no_limit_is_unlimited(url, store):
    store.add([ROOT])
    assert ask(url, "/traces?id=%27%20OR%201%3D1--").json() == {"traces": []}
    for limit in ("-1", "x", "9" * 30):
        assert len(ask(url, f"/traces?limit={limit}").json()["traces"]) == 1


# The command -----------------------------------------------------------------------------


def test_a_waterfall_shows_each_span_below_its_parent(capsys, store, tmp_path):
    store.add([PAY, CREATE, ROOT])
    status, shown = run(capsys, tmp_path, ORDER)
    assert status == 0
    assert shown[0].startswith(f"trace {TRACE}  ")
    assert shown[0].endswith("100.0 ms, 3 spans of 2 processes")
    assert [line.rpartition("| ")[2].rstrip() for line in shown[1:4]] == [
        "envoy             POST /api/orders 201",
        "orders-2            OrdersService/CreateOrder",
        "orders-2              saga CAPTURE_PAYMENT ! UNAVAILABLE",
    ]
    assert shown[3].split("|")[0].split() == ["90.0", "10.0"]


def test_spans_whose_parents_are_lost_or_in_a_circle_are_shown_all_the_same():
    lost = replace(PAY, parent_id="00000000000000ff")
    assert [row.span for row in rows([CREATE, lost])] == [CREATE, lost]
    first = replace(CREATE, parent_id=PAY.span_id)
    assert {row.span.span_id for row in rows([first, PAY])} == {first.span_id, PAY.span_id}


def test_without_an_id_the_newest_traces_are_listed(capsys, store, tmp_path):
    store.add([ROOT, CREATE])
    store.add([replace(PAY, trace_id=OTHER)])
    status, shown = run(capsys, tmp_path)
    assert (status, len(shown)) == (0, 2)
    assert "POST /api/orders 201" in shown[0]
    assert f"{OTHER}" in shown[1]
    assert "1 failed" in shown[1]


@pytest.mark.parametrize("arguments", [["no-such\x1b[2J"], []])
def test_an_unknown_id_or_an_empty_store_is_one_clear_line(capsys, store, tmp_path, arguments):
    status, shown = run(capsys, tmp_path, *arguments)
    assert (status, len(shown)) == (1, 1)
    assert "\x1b" not in shown[0]


def test_a_shop_without_traces_is_one_clear_line(capsys, tmp_path):
    status, shown = run(capsys, tmp_path, ORDER)
    assert (status, len(shown)) == (1, 1)
