"""The checks of scripts/doctor on Consul, the control plane, Envoy, keys and mail, over sockets."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from scripts.operations import mesh_checks, store_checks
from scripts.operations.findings import Level
from services.common.rpc.health import NOT_SERVING, SERVING

CLOSED = "127.0.0.1:9"
KEYS = "/.well-known/jwks.json"
CHECK = {"Name": "", "ServiceID": "orders-1-workers", "Output": "outbox-relay: no answer"}


def level(findings):
    (finding,) = findings
    return finding.level


@pytest.fixture
def server():
    """Yield (the URL of a server, its answers by path)."""
    answers: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in answers else 503)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", answers
        running.shutdown()


def test_a_consul_with_a_leader_whose_checks_pass_is_good(server):
    url, answers = server
    answers["/v1/status/leader"] = "127.0.0.1:8300"
    answers["/v1/health/state/any"] = [CHECK | {"Status": "passing"}]
    assert level(mesh_checks.check_consul(url)) is Level.GOOD


def test_a_check_that_does_not_pass_names_the_log_of_its_instance(server):
    url, answers = server
    answers["/v1/status/leader"] = "127.0.0.1:8300"
    answers["/v1/health/state/any"] = [CHECK | {"Status": "warning"}]
    (finding,) = mesh_checks.check_consul(url)
    assert finding.level is Level.WRONG
    assert "outbox-relay: no answer" in finding.text
    assert finding.cure.startswith("scripts/logs orders-1;")


def test_a_consul_without_a_leader_or_without_an_answer_is_wrong(server):
    url, answers = server
    answers["/v1/status/leader"] = ""
    assert level(mesh_checks.check_consul(url)) is Level.WRONG
    assert level(mesh_checks.check_consul(f"http://{CLOSED}")) is Level.WRONG


@pytest.mark.parametrize(("status", "expected"), [(SERVING, "good"), (NOT_SERVING, "wrong")])
def test_the_control_plane_is_judged_by_its_health(status, expected):
    servicer = health.HealthServicer()
    servicer.set("", status)
    serving = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    found = level(mesh_checks.check_control_plane(f"127.0.0.1:{port}"))
    serving.stop(None).wait()
    assert found.value == expected


def test_a_control_plane_that_does_not_answer_is_wrong():
    (finding,) = mesh_checks.check_control_plane(CLOSED)
    assert (finding.level, "UNAVAILABLE" in finding.text) == (Level.WRONG, True)


def test_grpc_services_alone_are_compared_with_envoy(server):
    url, answers = server
    instance = {"Service": {"Address": "127.0.0.1", "Port": 8002}}
    answers["/v1/catalog/services"] = {"catalog": ["grpc"], "catalog-workers": [], "consul": []}
    answers["/v1/health/service/catalog?passing=1"] = [instance]
    answers["/clusters?format=json"] = {"cluster_statuses": []}
    (finding,) = mesh_checks.check_endpoints(url, url)
    assert finding.text == "Envoy does not know 127.0.0.1:8002 of catalog"


def test_an_envoy_without_admin_pages_is_wrong(server):
    url, answers = server
    answers["/v1/catalog/services"] = {}
    assert level(mesh_checks.check_endpoints(url, f"http://{CLOSED}")) is Level.WRONG


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"keys": [{"kid": "a"}]}, Level.GOOD),
        ({"keys": []}, Level.WRONG),
        ({"code": 14}, Level.WRONG),
        ([], Level.WRONG),
    ],
)
def test_public_keys(server, keys, expected):
    url, answers = server
    answers[KEYS] = keys
    assert level(mesh_checks.check_keys(url)) is expected


def test_public_keys_that_cannot_be_fetched_are_wrong(server):
    url, _ = server
    (finding,) = mesh_checks.check_keys(url)
    assert "503" in finding.text
    assert level(mesh_checks.check_keys(f"http://{CLOSED}")) is Level.WRONG


@pytest.mark.parametrize(("greeting", "expected"), [(b"220 hi", "good"), (b"554 no", "wrong")])
def test_a_mail_server_is_judged_by_its_greeting(greeting, expected):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        found = level(store_checks.check_mail(f"smtp://127.0.0.1:{listening.getsockname()[1]}"))
        thread.join()
    assert found.value == expected


def test_stores_bus_and_mail_that_do_not_answer_are_wrong_each():
    stores = {
        "users": f"postgresql://mamie:secret@{CLOSED}/users",
        "promotions": f"redis://{CLOSED}/0",
        "recommendations": f"bolt://root:secret@{CLOSED}/shop",
    }
    urls = {"rabbitmq": f"amqp://guest:guest@{CLOSED}/", "smtp": f"smtp://{CLOSED}"}
    for check in store_checks.store_checks(stores, urls):
        (finding,) = check()
        assert finding.level is Level.WRONG
        assert "secret" not in finding.text
