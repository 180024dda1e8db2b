"""The Consul client against a real agent.

`test_py_consul.py` runs these tests again with py-consul in python-consul's place.
"""

import socket
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance
from services.common.rpc.health import HealthMonitor
from services.common.tests.fakes import TcpProxy, available, build_server, serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def name():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def consul(consul_url):
    return ConsulClient(consul_url)


@pytest.fixture
def server():
    """Yield a healthy server."""
    server = build_server(lambda _request: available(1))
    HealthMonitor(servicer=server.health, names=server.names, checks={}).check_once()
    with serving(server):
        yield server


@pytest.fixture
def instance(consul, name, server):
    """Yield an instance that is registered in Consul."""
    instance = Instance(f"{name}-1", "127.0.0.1", server.port)
    register(consul, name, instance, health_service=server.names[0])
    yield instance
    consul.deregister(instance.instance_id)


def register(consul, name, instance, health_service="a.B"):
    consul.register(
        name=name,
        instance_id=instance.instance_id,
        address=instance.address,
        port=instance.port,
        health_service=health_service,
    )


def healthy(consul, name):
    return consul.wait_for_instances(name, None)[1]


def test_a_registered_instance_is_in_the_catalogue(consul, name, instance):
    eventually(lambda: consul.is_in_catalogue(name, instance))
    assert instance.instance_id in consul.registered()


def test_an_instance_with_another_port_is_not_in_the_catalogue(consul, name, instance):
    eventually(lambda: consul.is_in_catalogue(name, instance))
    moved = Instance(instance.instance_id, instance.address, 1)
    assert not consul.is_in_catalogue(name, moved)


def test_a_registered_instance_is_healthy_before_and_after_its_first_check(
    consul, consul_url, name, instance
):
    eventually(lambda: healthy(consul, name) == [instance])
    check = f"service:{instance.instance_id}"
    eventually(lambda: "success" in checks(consul)[check]["Output"])
    assert checks(consul)[check]["Status"] == "passing"


def checks(consul):
    return consul._client.agent.checks()


def test_an_instance_that_fails_its_check_is_not_healthy(consul, name):
    dead = Instance(f"{name}-dead", "127.0.0.1", 1)
    register(consul, name, dead)
    eventually(lambda: consul.is_in_catalogue(name, dead))
    eventually(lambda: not healthy(consul, name))
    consul.deregister(dead.instance_id)


def test_a_deregistered_instance_is_not_in_the_catalogue(consul, name, instance):
    eventually(lambda: healthy(consul, name))
    consul.deregister(instance.instance_id)
    eventually(lambda: not consul.is_in_catalogue(name, instance))
    assert instance.instance_id not in consul.registered()


def test_deregistering_an_unknown_instance_has_no_effect(consul):
    consul.deregister("unknown")


def test_registering_again_changes_the_port(consul, name, instance):
    moved = Instance(instance.instance_id, "127.0.0.1", 1)
    register(consul, name, moved)
    eventually(lambda: consul.is_in_catalogue(name, moved))
    assert not consul.is_in_catalogue(name, instance)


def test_a_wait_for_instances_ends_at_a_change(consul, name, instance):
    eventually(lambda: healthy(consul, name))
    index, _ = consul.wait_for_instances(name, None)
    threading.Timer(0.1, consul.deregister, [instance.instance_id]).start()
    start = time.monotonic()
    while True:
        index, instances = consul.wait_for_instances(name, index)
        if not instances:
            break
    assert time.monotonic() - start < 10


def test_a_wait_for_names_ends_when_a_service_is_added(consul, name, server):
    index, before = consul.wait_for_names(None)
    assert name not in before
    new = Instance(f"{name}-1", "127.0.0.1", server.port)
    threading.Timer(0.1, register, [consul, name, new, server.names[0]]).start()
    names = before
    while name not in names:
        index, names = consul.wait_for_names(index)
    consul.deregister(new.instance_id)


def test_services_without_the_grpc_tag_are_not_listed(consul):
    assert "consul" not in consul.wait_for_names(None)[1]


def test_an_agent_that_does_not_answer_is_unavailable():
    with pytest.raises(ConsulUnavailableError):
        ConsulClient("http://127.0.0.1:1").registered()


def test_an_agent_that_is_available_again_is_used_again(consul_url):
    agent = urlsplit(consul_url)
    proxy = TcpProxy(agent.hostname, agent.port)
    consul = ConsulClient(f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ConsulUnavailableError):
        consul.registered()
    proxy.open()
    consul.registered()
    proxy.shut()
    with pytest.raises(ConsulUnavailableError):
        consul.registered()
    proxy.open()
    consul.registered()
    proxy.shut()


INVALID_RESPONSES = [
    (200, b"<html>"),
    (200, b"null"),
    (404, b""),
    (403, b"no"),
    (500, b"No cluster leader"),
]


class InvalidAgent(BaseHTTPRequestHandler):
    """Sends a response that no agent sends: (status, body)."""

    response = (200, b"")

    def do_GET(self):
        status, body = self.response
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(params=INVALID_RESPONSES)
def invalid_agent(request):
    handler = type("Handler", (InvalidAgent,), {"response": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_an_invalid_response_of_the_agent_is_unavailable(invalid_agent):
    consul = ConsulClient(f"http://127.0.0.1:{invalid_agent.server_port}")
    for query in (
        consul.registered,
        lambda: consul.wait_for_names("1"),
        lambda: consul.wait_for_instances("catalog", "1"),
        lambda: consul.is_in_catalogue("catalog", Instance("catalog-1", "127.0.0.1", 1)),
    ):
        with pytest.raises(ConsulUnavailableError):
            query()


def test_a_request_to_a_silent_agent_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(ConsulUnavailableError):
            ConsulClient(f"http://127.0.0.1:{port}", timeout_seconds=0.2).registered()
        assert time.monotonic() - start < 5
