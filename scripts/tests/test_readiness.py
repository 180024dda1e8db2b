"""Whether a stack can be used, as Consul and its instances say."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from scripts.stack import readiness
from scripts.stack.readiness import await_upstreams, list_troubles
from scripts.stack.units import UnitFailedError
from services.common.rpc.health import NOT_SERVING, SERVING

CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def consul():
    """Yield (the URL of a Consul, its answers by path)."""
    answers: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


@contextmanager
def serving(servicer):
    """Serve a health servicer, and yield its port."""
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def instance(consul):
    """Yield the health of "orders-1", which is in Consul."""
    _, answers = consul
    servicer = health.HealthServicer()
    with serving(servicer) as port:
        answers["/v1/agent/service/orders-1"] = {"Address": "127.0.0.1", "Port": port}
        yield servicer


def test_an_instance_that_is_not_connected_is_named_with_its_upstream(
    consul, instance, monkeypatch
):
    monkeypatch.setattr(readiness, "CONNECT_TIMEOUT_SECONDS", 0.3)
    instance.set("upstream/catalog", SERVING)
    instance.set("upstream/payments", NOT_SERVING)
    with pytest.raises(UnitFailedError, match="orders-1 is not connected to payments"):
        await_upstreams(consul[0], "orders-1", ["catalog", "payments"])


def test_an_instance_is_waited_for_until_it_is_connected(consul, instance):
    instance.set("upstream/catalog", NOT_SERVING)
    threading.Timer(0.3, instance.set, ("upstream/catalog", SERVING)).start()
    await_upstreams(consul[0], "orders-1", ["catalog"])


def test_a_service_that_publishes_nothing_of_an_upstream_is_not_waited_for(consul, instance):
    instance.set("", health_pb2.HealthCheckResponse.SERVING)
    await_upstreams(consul[0], "orders-1", ["catalog"])


def test_what_does_not_pass_is_listed_with_its_text(consul):
    url, answers = consul
    passing = {"ServiceID": "users-1", "Name": "x", "Status": "passing", "Output": ""}
    worker = {
        "ServiceID": "orders-1-workers",
        "Name": "y",
        "Status": "critical",
        "Output": "outbox-relay:\n failing for 12 s",
    }
    node = {"ServiceID": "", "Name": "Serf", "Status": "warning", "Output": "slow"}
    answers["/v1/health/state/any"] = [worker, passing, node]
    assert list_troubles(url) == [
        "Serf: warning: slow",
        "orders-1-workers: critical: outbox-relay: failing for 12 s",
    ]


def test_a_consul_that_does_not_answer_is_a_trouble():
    assert list_troubles(CLOSED) == ["Consul does not answer"]
