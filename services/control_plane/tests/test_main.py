"""The control plane as a process: start, serve, stop."""

import asyncio
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from grpc_health.v1 import health, health_pb2_grpc

from services.common.mesh.consul import ConsulClient
from services.common.tests.fakes import available, build_server, serving
from services.common.tests.processes import control_plane, is_serving, output_of, running
from services.control_plane.ads import METHOD, SERVICE, DiscoveryServer
from services.control_plane.policy import read_policy
from services.control_plane.resources import ENDPOINTS, build
from services.control_plane.tests.test_ads import FakeStream
from services.control_plane.watcher import ServiceRegistry, Watcher
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def plane(consul_url):
    with control_plane(consul_url) as plane:
        plane.await_ready()
        yield plane


def test_it_stops_at_once_and_logs_no_traceback(plane):
    start = time.monotonic()
    plane.process.send_signal(signal.SIGTERM)
    assert plane.process.wait(timeout=10) == 0
    assert time.monotonic() - start < 2
    assert "Traceback" not in output_of(plane.process)
    assert "control_plane_stopped" in output_of(plane.process)


def test_an_open_stream_does_not_delay_the_stop(plane):
    with grpc.insecure_channel(plane.address) as channel:
        responses = subscribe(channel, "test-unknown")
        next(responses)
        plane.process.send_signal(signal.SIGTERM)
        assert plane.process.wait(timeout=10) == 0
    assert "Traceback" not in output_of(plane.process)


def test_a_client_that_disconnects_is_not_an_error(plane):
    with grpc.insecure_channel(plane.address) as channel:
        next(subscribe(channel, "test-unknown"))
    with grpc.insecure_channel(plane.address) as channel:
        next(subscribe(channel, "test-unknown"))
    plane.process.send_signal(signal.SIGTERM)
    assert plane.process.wait(timeout=10) == 0
    assert "Traceback" not in output_of(plane.process)
    assert "never retrieved" not in output_of(plane.process)


def test_a_port_that_is_taken_is_named_in_one_line(consul_url):
    with (
        serving(server := build_server(lambda _request: available(1))),
        control_plane(consul_url, server.port) as plane,
    ):
        assert plane.process.wait(timeout=30) == 1
        text = output_of(plane.process)
    (line,) = [line for line in text.splitlines() if "cannot_listen" in line]
    assert f"127.0.0.1:{server.port}" in line
    assert "Traceback" not in text


def test_without_consul_it_runs_and_is_not_ready():
    with control_plane("http://127.0.0.1:1") as plane:
        with grpc.insecure_channel(plane.address) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            with pytest.raises(AssertionError):
                eventually(lambda: is_serving(channel), seconds=0.5)
        assert plane.process.poll() is None


def test_a_bad_variable_is_named():
    with running("services.control_plane", INSTANCE="control_plane", PORT="many") as process:
        assert process.wait(timeout=30) == 2
        assert "MAMIE_PORT" in output_of(process)


def subscribe(channel, name):
    """Subscribe to a service's endpoints; return the responses."""
    call = channel.stream_stream(f"/{SERVICE}/{METHOD}", bytes, DiscoveryResponse.parse)
    request = DiscoveryRequest(type_url=ENDPOINTS, resource_names=[name])
    return call(iter_open([request]), timeout=60)


def iter_open(requests):
    """Yield requests; the stream stays open afterwards."""
    yield from requests
    threading.Event().wait(60)


@pytest.fixture
def healthy_port():
    """Yield the port of a server that passes the checks of Consul."""
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0)


def test_a_service_without_instances_gets_an_empty_response_after_the_grace_period(
    consul_url, healthy_port
):
    consul, name = ConsulClient(consul_url), f"test-{uuid.uuid4().hex[:8]}"

    async def scenario():
        discovery = DiscoveryServer()
        publish = lambda services: discovery.publish(build(services, read_policy()))  # noqa: E731
        registry = ServiceRegistry(publish, grace_seconds=0.3)
        Watcher(consul=consul, registry=registry).start()
        stream = FakeStream(discovery)
        stream.send(DiscoveryRequest(type_url=ENDPOINTS, resource_names=[name]))
        assert await stream.receive() == []
        consul.register(
            name=name, instance_id=name, address="127.0.0.1", port=healthy_port, health_service=""
        )
        assert "127.0.0.1" in (await stream.receive())[0]
        consul.deregister(name)
        left = time.monotonic()
        assert await stream.receive() == ["\n\r" + name]
        assert time.monotonic() - left >= 0.3

    asyncio.run(scenario())
