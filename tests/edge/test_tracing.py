"""The edge begins traces, decides which are recorded, and believes no caller about that."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from joserfc import jwk

from scripts.traces.receiver import PATH, Receiver
from scripts.traces.store import TraceReader, TraceStore
from services.common.tracing.trace_context import accept
from tests.edge import tokens
from tests.edge.conftest import has_keys
from tests.edge.control_plane import StaticControlPlane
from tests.edge.envoy import Envoy
from tests.edge.fake_shop import FakeShop
from tests.support.traces import sampled_traceparent, unsampled_traceparent
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the collector."""
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def traced_edge(folder: Path, control_plane: StaticControlPlane, key: jwk.ECKey) -> Iterator[Envoy]:
    """Yield an edge that records half of all traces."""
    store = TraceStore(folder)
    with Receiver(store, 0) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_port}{PATH}"
        edge = Envoy(folder, xds_port=control_plane.port, traces_url=url, trace_percent=50.0)
        try:
            eventually(lambda: has_keys(edge, key))
            yield edge
        finally:
            edge.stop()
            receiver.shutdown()


@pytest.fixture
def traced(traced_edge: Envoy, key: jwk.ECKey) -> Iterator[httpx.Client]:
    """Yield a client with a customer's token."""
    headers = tokens.bearer(tokens.sign(key)) | {"user-agent": "a-program"}
    with httpx.Client(base_url=traced_edge.http, headers=headers) as client:
        yield client


def received(client: httpx.Client, shop: FakeShop, **headers: str) -> dict[str, str]:
    """Return what a service received of a request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    assert client.get("/api/orders/1?page=1", headers=sent).status_code in (200, 400)
    assert client.get("/api/orders/1", headers=sent).status_code == 200
    return dict(shop.calls[-1].metadata)


def test_a_request_without_a_trace_begins_one(traced: httpx.Client, shop: FakeShop) -> None:
    first, second = (received(traced, shop)["traceparent"] for _ in range(2))
    assert accept(first) == first
    assert first[3:35] != second[3:35]


def test_the_trace_of_a_caller_is_continued_and_recorded(
    traced: httpx.Client, shop: FakeShop, folder: Path
) -> None:
    sent = sampled_traceparent()
    passed = received(traced, shop, traceparent=sent)["traceparent"]
    assert passed.startswith(sent[:36])
    assert passed.endswith("-01")
    assert passed[36:52] != sent[36:52]
    trace = eventually(lambda: recorded(folder, sent[3:35]), seconds=20)
    edge, upstream = trace[-2:]
    assert (edge.service, edge.name, edge.parent_id) == ("envoy", "GET", sent[36:52])
    assert upstream.name == "/mamie_rosa.orders.v1.OrdersService/GetOrder"
    assert (upstream.parent_id, upstream.span_id) == (edge.span_id, passed[36:52])
    assert edge.attributes["http.url"] == "/api/orders/1"
    # The shop's own addresses; any other would be the caller's, who is on the same machine here.
    own = {"upstream_address": "", "grpc.authority": ""}
    text = repr([span.attributes | own for span in trace])
    for private in ("127.0.0.1", "a-program", "page=1", "Bearer", "eyJ"):
        assert private not in text, private


def recorded(folder: Path, trace_id: str) -> list:
    """Return the spans of a trace, once those of both requests are there."""
    traces = TraceReader(folder).find(trace_id)
    spans = list(traces[0]) if traces else []
    return spans if len(spans) >= 3 else []


def test_a_caller_does_not_decide_that_a_trace_is_recorded(
    traced: httpx.Client, shop: FakeShop
) -> None:
    sent = unsampled_traceparent()
    passed = received(traced, shop, traceparent=sent)["traceparent"]
    assert passed[:35] == sent[:35]
    assert passed.endswith("-00")


@pytest.mark.parametrize("forged", ["00-1-2-01", "x" * 5_000, f"00-{'0' * 32}-{'1' * 16}-01"])
def test_a_forged_trace_context_is_continued_by_nobody(
    traced: httpx.Client, shop: FakeShop, forged: str
) -> None:
    assert accept(received(traced, shop, traceparent=forged).get("traceparent")) is None


def test_what_else_a_trace_context_may_have_is_dropped(
    traced: httpx.Client, shop: FakeShop
) -> None:
    sent = {"tracestate": "a=b", "baggage": "email=rosa@example.org", "b3": "1-2-1"}
    passed = received(traced, shop, traceparent=sampled_traceparent(), **sent)
    assert not passed.get("tracestate")
    assert {"baggage", "b3"}.isdisjoint(passed)


@pytest.mark.parametrize(("role", "passed"), [("admin", "always"), ("customer", None)])
def test_only_an_administrator_may_ask_for_a_trace(
    traced: httpx.Client, shop: FakeShop, key: jwk.ECKey, role: str, passed: str | None
) -> None:
    token = tokens.bearer(tokens.sign(key, role=role))
    assert received(traced, shop, x_trace="always", **token).get("x-trace") == passed


def test_without_a_token_nobody_may_ask_for_a_trace(traced_edge: Envoy, shop: FakeShop) -> None:
    httpx.get(f"{traced_edge.http}/api/products", headers={"x-trace": "always"})
    assert "x-trace" not in shop.calls[-1].metadata
