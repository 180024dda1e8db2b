"""The metrics of a process, as Prometheus reads them."""

import configparser
import socket

import pytest
import requests
from prometheus_client import REGISTRY

from scripts.paths import ROOT
from services.common.context import CallContext, use
from services.common.metrics.calls import CallMeter, exemplar
from services.common.metrics.endpoint import serve_metrics
from services.common.metrics.process import VERSION, measure_pool
from services.common.metrics.sampled import SampledGauge

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


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
        ("00-" + "a" * 4_000 + "-00f067aa0ba902b7-01", None),
        ("-01", None),
        (None, None),
    ],
)
def test_only_a_trace_that_is_kept_is_an_exemplar(traceparent, expected):
    with use(CallContext(traceparent=traceparent)):
        assert exemplar() == expected
        CallMeter("/a.B/Traced").observe("OK", 0.1)  # whatever the header is, nothing is raised


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
