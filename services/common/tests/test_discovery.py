"""Discovery with real parts: Consul, the control plane and gRPC clients."""

import time
import uuid
from contextlib import ExitStack, contextmanager

import pytest

from services.common.mesh.consul import ConsulClient, Instance
from services.common.mesh.registration import Registration
from services.common.rpc.health import HealthMonitor
from services.common.tests.fakes import available, build_server
from services.common.tests.processes import client, control_plane
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


class MeshInstance:
    """An instance of a service, in this process; it responds with its number."""

    def __init__(self, consul, service, number):
        self.server = build_server(lambda _request: available(number))
        self.monitor = HealthMonitor(
            servicer=self.server.health, names=self.server.names, checks={}
        )
        self.registration = Registration(
            consul=consul,
            name=service,
            instance=f"{service}-{number}",
            address="127.0.0.1",
            port=self.server.port,
            health_service=self.server.names[0],
            verify_seconds=3600,
        )
        self.instance = Instance(f"{service}-{number}", "127.0.0.1", self.server.port)

    def start(self):
        self.server.start()
        self.monitor.check_once()
        self.registration.start()

    def stop(self):
        self.registration.leave()
        self.server.stop(5)


@contextmanager
def instance(consul, service, number):
    instance = MeshInstance(consul, service, number)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def consul(consul_url):
    return ConsulClient(consul_url)


@pytest.fixture
def service():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def two(consul, service):
    """Yield two instances that are in the catalogue."""
    with instance(consul, service, 1) as first, instance(consul, service, 2) as second:
        for each in (first, second):
            eventually(lambda: consul.is_in_catalogue(service, each.instance))  # noqa: B023
        yield first, second


@pytest.fixture
def plane(consul_url, two):
    with control_plane(consul_url) as plane:
        plane.await_ready()
        yield plane


@pytest.fixture
def calls(service, plane):
    """Yield a client whose calls reach both instances."""
    with client(service, plane.address) as calls:
        eventually(lambda: calls.answered_by() == {1, 2})
        yield calls


def test_calls_are_balanced_over_all_instances(calls):
    calls.await_calls(100)
    instances = [call["instance"] for call in calls.calls[-100:]]
    assert 30 <= instances.count(1) <= 70
    assert calls.failed() == []


def test_a_process_says_to_which_upstreams_it_is_connected(calls, plane):
    eventually(lambda: calls.calls[-1]["connected"])
    with client("test-absent", plane.address) as absent:
        absent.await_calls(1)
        assert not any(call["connected"] for call in absent.calls)


def test_a_new_instance_is_used_in_under_a_second(consul, service, calls, record_property):
    with instance(consul, service, 3):
        start = time.monotonic()
        eventually(lambda: 3 in calls.answered_by())
        first = next(call for call in calls.calls if call["instance"] == 3)
        record_property("milliseconds", round((first["at"] - start) * 1000))
        assert first["at"] - start < 1.0
        assert calls.failed() == []  # before the instance stops, without draining


def test_an_instance_that_leaves_gets_no_more_calls_and_none_fails(two, calls):
    two[0].registration.leave()
    eventually(lambda: calls.answered_by(since=time.monotonic() - 0.2) == {2})
    assert calls.failed() == []


def test_no_call_fails_when_an_instance_stops_without_leaving(two, calls):
    two[0].server.stop(5)
    calls.await_calls(200)
    assert calls.failed() == []
    assert calls.answered_by(since=calls.calls[-50]["at"]) == {2}


def test_calls_succeed_without_the_control_plane(plane, calls):
    plane.kill()
    killed = time.monotonic()
    calls.await_calls(200)
    assert calls.failed() == []
    assert calls.answered_by(since=killed) == {1, 2}


def test_clients_reconnect_to_a_restarted_control_plane(consul, consul_url, service, plane, calls):
    plane.kill()
    with ExitStack() as stack:
        stack.enter_context(instance(consul, service, 3))
        again = stack.enter_context(control_plane(consul_url, plane.port))
        again.await_ready()
        eventually(lambda: 3 in calls.answered_by(), seconds=30)
        assert calls.failed() == []


class TestWithTwoControlPlanes:
    @pytest.fixture
    def second(self, consul_url):
        with control_plane(consul_url) as second:
            second.await_ready()
            yield second

    def test_a_new_client_uses_the_second_when_the_first_is_down(self, service, plane, second):
        plane.kill()
        with client(service, plane.address, second.address) as calls:
            eventually(lambda: calls.answered_by() == {1, 2}, seconds=30)
        assert calls.failed() == []

    def test_a_running_client_gets_updates_from_the_second_when_the_first_dies(
        self, consul, service, plane, second, record_property
    ):
        with client(service, plane.address, second.address) as calls:
            eventually(lambda: calls.answered_by() == {1, 2}, seconds=30)
            plane.kill()
            with instance(consul, service, 3):
                start = time.monotonic()
                eventually(lambda: 3 in calls.answered_by(), seconds=30)
                record_property("seconds", round(time.monotonic() - start, 1))
                assert calls.failed() == []

    def test_a_new_client_uses_the_second_also_by_host_name(self, service, plane, second):
        plane.kill()
        names = [f"localhost:{each.port}" for each in (plane, second)]
        with client(service, *names) as calls:
            eventually(lambda: calls.answered_by() == {1, 2}, seconds=30)
