"""The figures of scripts/status, from what two looks at an endpoint say."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from scripts.stack.figures import Sample, compare, compare_all, quantile, read_samples


class Instance:
    """The metrics of an instance, as it shows them."""

    def __init__(self):
        self.registry = registry = CollectorRegistry()
        labels = ("grpc_service", "grpc_method", "grpc_code")
        buckets = (0.01, 0.1, 1.0)
        name = "grpc_server_handling_seconds"
        self.handling = Histogram(name, "x", labels, buckets=buckets, registry=registry)
        self.rejected = Counter("mamie_rpc_rejected", "x", registry=registry)
        self.queue = Gauge("mamie_rpc_queue_length", "x", registry=registry)
        Gauge("mamie_build_info", "x", ("version",), registry=registry).labels("1.2.3").set(1)

    def call(self, seconds, code="OK", method="A"):
        self.handling.labels("a.B", method, code).observe(seconds)

    def sample(self, now):
        return Sample.parse(generate_latest(self.registry).decode(), now)


def test_rates_are_those_between_two_looks():
    instance = Instance()
    instance.call(5)
    before = instance.sample(100.0)
    for _ in range(18):
        instance.call(0.005)
    instance.call(0.5, "NOT_FOUND", "B")
    instance.call(0.5, "INTERNAL")
    instance.queue.set(7)
    figures = compare(before, instance.sample(110.0))
    assert (figures.version, figures.queue) == ("1.2.3", 7)
    assert (figures.requests_per_second, figures.errors_per_second) == (2.0, 0.1)
    assert figures.p95_ms == 550.0  # the 19th of 20, in the middle of its bucket


def test_calls_that_were_rejected_are_errors():
    instance = Instance()
    before = instance.sample(0.0)
    instance.rejected.inc(3)
    figures = compare(before, instance.sample(1.0))
    assert (figures.requests_per_second, figures.errors_per_second, figures.p95_ms) == (3, 3, None)


def test_an_instance_that_was_restarted_began_at_zero():
    old, new = Instance(), Instance()
    for _ in range(10):
        old.call(0.1)
    new.call(0.1)
    assert compare(old.sample(0.0), new.sample(1.0)).requests_per_second == 1.0


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, None),
        ({0.1: 0, float("inf"): 0}, None),
        ({0.1: 100, float("inf"): 100}, 0.095),
        ({0.1: 0, 0.2: 100, float("inf"): 100}, 0.195),
        ({0.1: 0, 0.2: 0, float("inf"): 5}, 0.2),
    ],
)
def test_a_quantile_is_estimated_within_its_bucket(bounds, expected):
    assert quantile(0.95, bounds) == (None if expected is None else pytest.approx(expected))


def test_an_instance_that_did_not_answer_has_no_figures():
    sample = Instance().sample(0.0)
    assert compare_all({}, {"a-1": sample}, ["a-1", "a-2"]) == {"a-1": None, "a-2": None}


@pytest.fixture
def consul():
    """Yield the URL of a server that is an agent and two endpoints, one of which fails."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            port = server.server_port
            entry = {"Address": "127.0.0.1", "Port": port, "Tags": ["metrics"]}
            services = {
                "catalog-1-workers": entry,
                "catalog-2-workers": entry | {"Port": 1},
                "catalog-1": entry | {"Tags": ["grpc"]},
                "consul": entry | {"Tags": None},
            }
            shown = generate_latest(Instance().registry)
            body = shown if self.path == "/metrics" else json.dumps(services).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_endpoints_are_found_in_consul_and_one_that_fails_is_left_out(consul):
    assert {name: each.version for name, each in read_samples(consul).items()} == {
        "catalog-1": "1.2.3"
    }


def test_without_consul_there_are_no_figures():
    assert read_samples("http://127.0.0.1:1") == {}
