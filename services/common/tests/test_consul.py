"""The one module that talks to Consul, against a real agent.

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
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def name():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def consul(consul_url):
    return ConsulClient(consul_url)


@pytest.fixture
def server():
    """Yield a server that is healthy."""
    server = build_server(lambda _request: available(1))
    HealthMonitor(servicer=server.health, names=server.names, checks={}).check_once()
    with serving(server):
        yield server


@pytest.fixture
def announced(consul, name, server):
    """Yield an instance that Consul has been told of."""
    instance = Instance(f"{name}-1", "127.0.0.1", server.port)
    announce(consul, name, instance, health_service=server.names[0])
    yield instance
    consul.deregister(instance.instance_id)


def announce(consul, name, instance, health_service="a.B"):
    consul.register(
        name=name,
        instance_id=instance.instance_id,
        address=instance.address,
        port=instance.port,
        health_service=health_service,
    )


def healthy(consul, name):
    return consul.wait_for_instances(name, None)[1]


def test_an_announced_instance_is_in_the_catalogue(consul, name, announced):
    eventually(lambda: consul.is_in_catalogue(name, announced))
    assert announced.instance_id in consul.registered()


def test_an_instance_at_another_port_is_another_one(consul, name, announced):
    eventually(lambda: consul.is_in_catalogue(name, announced))
    moved = Instance(announced.instance_id, announced.address, 1)
    assert not consul.is_in_catalogue(name, moved)


def test_an_announced_instance_is_healthy_and_stays_so_when_it_is_checked(
    consul, consul_url, name, announced
):
    eventually(lambda: healthy(consul, name) == [announced])
    check = f"service:{announced.instance_id}"
    eventually(lambda: "success" in checks(consul)[check]["Output"])
    assert checks(consul)[check]["Status"] == "passing"


def checks(consul):
    return consul._quick.agent.checks()


def test_an_instance_that_fails_its_check_is_not_healthy(consul, name):
    dead = Instance(f"{name}-dead", "127.0.0.1", 1)
    announce(consul, name, dead)
    eventually(lambda: consul.is_in_catalogue(name, dead))
    eventually(lambda: not healthy(consul, name))
    consul.deregister(dead.instance_id)


def test_a_forgotten_instance_is_gone(consul, name, announced):
    eventually(lambda: healthy(consul, name))
    consul.deregister(announced.instance_id)
    eventually(lambda: not consul.is_in_catalogue(name, announced))
    assert announced.instance_id not in consul.registered()


def test_forgetting_who_is_not_known_is_done_already(consul):
    consul.deregister("nobody")


def test_announcing_again_moves_an_instance(consul, name, announced):
    moved = Instance(announced.instance_id, "127.0.0.1", 1)
    announce(consul, name, moved)
    eventually(lambda: consul.is_in_catalogue(name, moved))
    assert not consul.is_in_catalogue(name, announced)


def test_a_wait_for_instances_ends_when_there_is_news(consul, name, announced):
    eventually(lambda: healthy(consul, name))
    index, _ = consul.wait_for_instances(name, None)
    threading.Timer(0.1, consul.deregister, [announced.instance_id]).start()
    began = time.monotonic()
    while True:
        index, instances = consul.wait_for_instances(name, index)
        if not instances:
            break
    assert time.monotonic() - began < 10


def test_a_wait_for_names_ends_when_there_is_a_new_one(consul, name, server):
    index, before = consul.wait_for_names(None)
    assert name not in before
    new = Instance(f"{name}-1", "127.0.0.1", server.port)
    threading.Timer(0.1, announce, [consul, name, new, server.names[0]]).start()
    names = before
    while name not in names:
        index, names = consul.wait_for_names(index)
    consul.deregister(new.instance_id)


def test_services_that_do_not_speak_grpc_are_none_of_ours(consul):
    assert "consul" not in consul.wait_for_names(None)[1]


def test_an_agent_that_is_away_is_said_so():
    with pytest.raises(ConsulUnavailableError):
        ConsulClient("http://127.0.0.1:1").registered()


def test_an_agent_that_comes_back_is_used_again(consul_url):
    behind = urlsplit(consul_url)
    door = TcpProxy(behind.hostname, behind.port)
    consul = ConsulClient(f"http://127.0.0.1:{door.port}")
    with pytest.raises(ConsulUnavailableError):
        consul.registered()
    door.open()
    consul.registered()
    door.shut()
    with pytest.raises(ConsulUnavailableError):
        consul.registered()
    door.open()
    consul.registered()
    door.shut()


ANSWERS = [(200, b"<html>"), (200, b"null"), (404, b""), (403, b"no"), (500, b"No cluster leader")]


class Stranger(BaseHTTPRequestHandler):
    """Answers what no agent answers: (status, body)."""

    answer = (200, b"")

    def do_GET(self):
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(params=ANSWERS)
def stranger(request):
    handler = type("Stranger", (Stranger,), {"answer": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_who_does_not_answer_as_an_agent_is_none(stranger):
    consul = ConsulClient(f"http://127.0.0.1:{stranger.server_port}")
    for ask in (
        consul.registered,
        lambda: consul.wait_for_names("1"),
        lambda: consul.wait_for_instances("catalog", "1"),
        lambda: consul.is_in_catalogue("catalog", Instance("catalog-1", "127.0.0.1", 1)),
    ):
        with pytest.raises(ConsulUnavailableError):
            ask()


def test_an_agent_that_never_answers_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(ConsulUnavailableError):
            ConsulClient(f"http://127.0.0.1:{port}", timeout_seconds=0.2).registered()
        assert time.monotonic() - began < 5
