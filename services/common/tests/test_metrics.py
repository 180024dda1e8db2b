"""The metrics of a process, as Prometheus reads them."""

import configparser
import socket
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import requests
from prometheus_client import REGISTRY

from scripts.paths import ROOT
from services.common.config import ServiceConfig, reading_environment
from services.common.context import CallContext, use
from services.common.mesh.worker_status import report_process
from services.common.messaging.consumer import Outcome
from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import publish_batch
from services.common.metrics.bus import OUTCOMES, age_seconds
from services.common.metrics.calls import CallMeter, exemplar
from services.common.metrics.endpoint import serve_metrics
from services.common.metrics.process import VERSION, measure_pool
from services.common.metrics.sampled import SampledGauge
from services.common.metrics.upstreams import upstream_meter
from services.common.rpc.server import CannotListenError
from tests.support.metrics import adds, value

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_call_is_counted_by_its_method_and_code():
    meter = CallMeter("/mamie_rosa.catalog.v1.CatalogService/Counted")
    for code, seconds in (("OK", 0.004), ("OK", 2), ("NOT_FOUND", 0.1)):
        meter.observe(code, seconds)
    labels = {"grpc_service": "mamie_rosa.catalog.v1.CatalogService", "grpc_method": "Counted"}
    name = "grpc_server_handling_seconds"
    assert value(f"{name}_count", **labels, grpc_code="OK") == 2
    assert value(f"{name}_bucket", **labels, grpc_code="OK", le="0.005") == 1
    assert value(f"{name}_count", **labels, grpc_code="NOT_FOUND") == 1


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", {"trace_id": TRACE}),
        (f"00-{TRACE}-00f067aa0ba902b7-00", None),
        (None, None),
    ],
)
def test_only_a_trace_that_is_kept_is_an_exemplar(traceparent, expected):
    with use(CallContext(traceparent=traceparent)):
        assert exemplar() == expected
        CallMeter("/a.B/Traced").observe("OK", 0.1)  # whatever the header is, nothing is raised


class Rejected(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


@grpc.Future.register
class Begun:
    """A call that was begun, and ends when the test says so."""

    def __init__(self):
        self.callbacks = []

    def add_done_callback(self, fn):
        self.callbacks.append(fn)

    def code(self):
        return grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_call_to_another_service_is_counted_with_the_code_it_ended_with():
    meter = upstream_meter("/mamie_rosa.payments.internal.v1.PaymentsService/Capture")
    assert upstream_meter("/mamie_rosa.payments.internal.v1.PaymentsService/Refund") is meter
    name = "mamie_upstream_call_seconds_count"
    with adds(1, name, upstream="payments", grpc_code="OK"):
        assert meter.call(lambda: "answer") == "answer"

    def rejected():
        raise Rejected

    with adds(1, name, upstream="payments", grpc_code="UNAVAILABLE"), pytest.raises(Rejected):
        meter.call(rejected)


def test_a_call_that_was_begun_is_counted_when_it_ends():
    begun, labels = Begun(), {"upstream": "catalog", "grpc_code": "DEADLINE_EXCEEDED"}
    name = "mamie_upstream_call_seconds_count"
    with adds(0, name, **labels):
        assert (
            upstream_meter("/mamie_rosa.catalog.v1.CatalogService/X").call(lambda: begun) is begun
        )
    with adds(1, name, **labels):
        begun.callbacks[0](begun)


def test_the_endpoint_has_the_release_and_exemplars():
    with use(CallContext(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")):
        CallMeter("/a.B/Shown").observe("OK", 0.1)
    port = serve_metrics("127.0.0.1", 0)
    url, headers = f"http://127.0.0.1:{port}/metrics", {"accept": "application/openmetrics-text"}
    text = requests.get(url, headers=headers, timeout=5).text
    assert f'mamie_build_info{{version="{VERSION}"}} 1.0' in text
    assert f'trace_id="{TRACE}"' in text
    assert "_created" not in text


def test_the_release_is_that_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == VERSION


def test_a_port_that_is_taken_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            serve_metrics("127.0.0.1", taken.getsockname()[1])


def test_a_gauge_is_read_when_it_is_scraped():
    readings = iter([1.0, 2.0])
    gauge = SampledGauge("test_sampled", "A test.", ("kind",), lambda: [(("a",), next(readings))])
    try:
        assert [value("test_sampled", kind="a") for _ in range(2)] == [1.0, 2.0]
    finally:
        REGISTRY.unregister(gauge)


def test_pools_are_added_up_for_as_long_as_they_live():
    class Pool:
        def size(self):
            return 16

        def checkedout(self):
            return 3

    before = value("mamie_postgres_pool_in_use")
    pools = [Pool(), Pool()]
    for pool in pools:
        measure_pool(pool)
    assert value("mamie_postgres_pool_in_use") == before + 6
    del pool
    pools.clear()
    assert value("mamie_postgres_pool_in_use") == before


def test_who_reads_slowly_keeps_nobody_from_reading():
    port = serve_metrics("127.0.0.1", 0)
    with ExitStack() as slow:
        for _ in range(20):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")  # and never ends it
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).ok


def test_a_taken_port_of_the_metrics_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("MAMIE_METRICS_PORT", str(port))
        with reading_environment() as env:
            config = ServiceConfig.read(env)
        with pytest.raises(CannotListenError, match=f"127.0.0.1:{port}"):
            report_process("catalog", config)


class FakeOutbox:
    """An outbox with one event, which happened some time ago."""

    def __init__(self, age):
        time = datetime.now(UTC) - age
        self._event = CloudEvent("id", "type", "source", "subject", time, "", b"")

    @contextmanager
    def take(self, limit):
        yield [self._event]


def test_the_delay_of_an_event_is_measured_when_it_is_published():
    name = "mamie_outbox_publish_delay_seconds"
    with (
        adds(1, f"{name}_count"),
        adds(0, f"{name}_bucket", le="5.0"),
        adds(1, f"{name}_bucket", le="10.0"),
    ):
        publish_batch(FakeOutbox(timedelta(seconds=7)), lambda event: None)


def test_a_clock_that_is_ahead_makes_no_negative_age():
    assert age_seconds(datetime.now(UTC) + timedelta(minutes=1)) == 0


@pytest.mark.parametrize(
    ("outcome", "is_last", "label"),
    [
        (Outcome.DONE, True, "done"),
        (Outcome.FAILED, False, "failed"),
        (Outcome.FAILED, True, "dead_letter"),
        (Outcome.INTERRUPTED, True, "interrupted"),
    ],
)
def test_a_message_that_failed_for_the_last_time_is_a_dead_letter(outcome, is_last, label):
    assert outcome.label(is_last=is_last) == label
    assert label in OUTCOMES
