"""An instance stays registered while its process runs, also when Consul loses its data."""

import uuid
from urllib.parse import urlsplit

import pytest

from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance
from services.common.mesh.registration import Registration
from services.common.tests.fakes import TcpProxy
from tests.support.waiting import eventually

INSTANCE = Instance("catalog-1", "127.0.0.1", 8002)


class FakeConsul:
    """A Consul that may be unavailable; `catalogue` is its content."""

    def __init__(self):
        self.catalogue = {}
        self.unavailable = False
        self.queries = 0
        self.registered = []

    def own_address(self):
        self._respond()
        return "10.0.0.7"

    def is_in_catalogue(self, name, instance):
        self.queries += 1
        self._respond()
        return self.catalogue.get(instance.instance_id) == (name, instance)

    def register(self, *, name, instance_id, address, port, health_service):
        self._respond()
        assert health_service == "a.B"
        self.registered.append(Instance(instance_id, address, port))
        self.catalogue[instance_id] = (name, self.registered[-1])

    def deregister(self, instance_id):
        self._respond()
        self.catalogue.pop(instance_id, None)

    def _respond(self):
        if self.unavailable:
            raise ConsulUnavailableError("gone")


@pytest.fixture
def consul():
    return FakeConsul()


def start_registration(consul, instance=INSTANCE, name="catalog"):
    registration = Registration(
        consul=consul,
        name=name,
        instance=instance.instance_id,
        address=instance.address,
        port=instance.port,
        health_service="a.B",
        verify_seconds=0.01,
    )
    registration.start()
    return registration


@pytest.fixture
def registration(consul):
    registration = start_registration(consul)
    eventually(lambda: consul.catalogue)
    yield registration
    registration.leave()


def wait_for_queries(consul, count=2):
    before = consul.queries
    eventually(lambda: consul.queries >= before + count)


def test_an_instance_is_registered(registration, consul):
    assert consul.catalogue == {"catalog-1": ("catalog", INSTANCE)}


def test_an_instance_without_an_address_gets_this_machines_address(consul):
    registration = start_registration(consul, Instance("catalog-1", "", 8002))
    eventually(lambda: consul.catalogue)
    registration.leave()
    assert consul.registered == [Instance("catalog-1", "10.0.0.7", 8002)]


def test_an_instance_that_consul_lost_is_registered_again(registration, consul):
    consul.catalogue.clear()
    eventually(lambda: consul.catalogue)


def test_the_old_port_of_a_killed_instance_is_replaced(consul):
    consul.catalogue["catalog-1"] = ("catalog", Instance("catalog-1", "127.0.0.1", 20_001))
    registration = start_registration(consul)
    eventually(lambda: consul.catalogue["catalog-1"] == ("catalog", INSTANCE))
    registration.leave()


def test_an_instance_that_left_is_not_registered_again(consul):
    registration = start_registration(consul)
    eventually(lambda: consul.catalogue)
    registration.leave()
    assert consul.catalogue == {}


def test_consul_may_be_unavailable_and_recover(consul, log):
    consul.unavailable = True
    registration = start_registration(consul)
    wait_for_queries(consul, count=3)
    consul.unavailable = False
    eventually(lambda: consul.catalogue)
    wait_for_queries(consul)
    consul.unavailable = True
    wait_for_queries(consul)
    consul.catalogue.clear()
    consul.unavailable = False
    eventually(lambda: consul.catalogue)
    wait_for_queries(consul)
    registration.leave()
    states = [line["event"] for line in log]
    assert states == ["consul_unavailable", "registered", "consul_unavailable", "registered"]


def test_leaving_while_consul_is_unavailable_is_not_an_error(consul, log):
    consul.unavailable = True
    start_registration(consul).leave()
    assert {line["event"] for line in log} == {"consul_unavailable"}


@pytest.mark.integration
class TestWithARealAgent:
    """Nothing answers the check of these instances, but they are in the catalogue."""

    @pytest.fixture
    def instance(self):
        return Instance(f"test-{uuid.uuid4().hex[:8]}", "127.0.0.1", 1)

    def test_after_a_deregistration_it_is_registered_again(self, consul_url, instance):
        consul = ConsulClient(consul_url)
        registration = start_registration(consul, instance, name=instance.instance_id)
        registered = lambda: consul.is_in_catalogue(instance.instance_id, instance)  # noqa: E731
        eventually(registered)
        consul.deregister(instance.instance_id)
        eventually(registered)
        registration.leave()
        eventually(lambda: not registered())

    def test_the_agent_may_be_unavailable_at_the_start_and_later(self, consul_url, instance):
        agent = urlsplit(consul_url)
        proxy = TcpProxy(agent.hostname, agent.port)
        consul = ConsulClient(consul_url)
        proxied = ConsulClient(f"http://127.0.0.1:{proxy.port}")
        registration = start_registration(proxied, instance, name=instance.instance_id)
        registered = lambda: consul.is_in_catalogue(instance.instance_id, instance)  # noqa: E731
        assert not registered()
        proxy.open()
        eventually(registered)
        proxy.shut()
        consul.deregister(instance.instance_id)
        proxy.open()
        eventually(registered)
        registration.leave()
        eventually(lambda: not registered())
        proxy.shut()
