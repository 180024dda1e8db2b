"""An instance stays announced for as long as it lives, whatever happens to Consul."""

import uuid
from urllib.parse import urlsplit

import pytest

from services.common.mesh.consul import ConsulClient, ConsulUnavailableError, Instance
from services.common.mesh.registration import Registration
from services.common.tests.fakes import TcpProxy
from tests.waiting import eventually

HERE = Instance("catalog-1", "127.0.0.1", 8002)


class FakeConsul:
    """A Consul that may be away; `known` is its catalogue."""

    def __init__(self):
        self.known = {}
        self.away = False
        self.verified = 0
        self.seen = []

    def own_address(self):
        self._answer()
        return "10.0.0.7"

    def is_in_catalogue(self, name, instance):
        self.verified += 1
        self._answer()
        return self.known.get(instance.instance_id) == (name, instance)

    def register(self, *, name, instance_id, address, port, health_service):
        self._answer()
        assert health_service == "a.B"
        self.seen.append(Instance(instance_id, address, port))
        self.known[instance_id] = (name, self.seen[-1])

    def deregister(self, instance_id):
        self._answer()
        self.known.pop(instance_id, None)

    def _answer(self):
        if self.away:
            raise ConsulUnavailableError("gone")


@pytest.fixture
def consul():
    return FakeConsul()


def announced(consul, instance=HERE, name="catalog"):
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
    registration = announced(consul)
    eventually(lambda: consul.known)
    yield registration
    registration.leave()


def verified_again(consul, times=2):
    before = consul.verified
    eventually(lambda: consul.verified >= before + times)


def test_an_instance_is_announced(registration, consul):
    assert consul.known == {"catalog-1": ("catalog", HERE)}


def test_an_instance_without_an_address_is_announced_where_consul_sees_it(consul):
    registration = announced(consul, Instance("catalog-1", "", 8002))
    eventually(lambda: consul.known)
    registration.leave()
    assert consul.seen == [Instance("catalog-1", "10.0.0.7", 8002)]


def test_an_instance_that_was_forgotten_is_announced_again(registration, consul):
    consul.known.clear()
    eventually(lambda: consul.known)


def test_an_instance_that_was_killed_is_announced_with_the_port_that_it_has_now(consul):
    consul.known["catalog-1"] = ("catalog", Instance("catalog-1", "127.0.0.1", 20_001))
    registration = announced(consul)
    eventually(lambda: consul.known["catalog-1"] == ("catalog", HERE))
    registration.leave()


def test_an_instance_that_leaves_is_not_announced_again(consul):
    registration = announced(consul)
    eventually(lambda: consul.known)
    registration.leave()
    assert consul.known == {}


def test_consul_may_be_away_and_come_back(consul, log):
    consul.away = True
    registration = announced(consul)
    verified_again(consul, times=3)
    consul.away = False
    eventually(lambda: consul.known)
    verified_again(consul)
    consul.away = True
    verified_again(consul)
    consul.known.clear()
    consul.away = False
    eventually(lambda: consul.known)
    verified_again(consul)
    registration.leave()
    states = [line["event"] for line in log]
    assert states == ["consul_unavailable", "registered", "consul_unavailable", "registered"]


def test_leaving_while_consul_is_away_is_no_error(consul, log):
    consul.away = True
    announced(consul).leave()
    assert {line["event"] for line in log} == {"consul_unavailable"}


@pytest.mark.integration
class TestWithARealAgent:
    """Nothing answers the check of these instances; they are in the catalogue all the same."""

    @pytest.fixture
    def instance(self):
        return Instance(f"test-{uuid.uuid4().hex[:8]}", "127.0.0.1", 1)

    def test_somebody_else_may_forget_it(self, consul_url, instance):
        consul = ConsulClient(consul_url)
        registration = announced(consul, instance, name=instance.instance_id)
        known = lambda: consul.is_in_catalogue(instance.instance_id, instance)  # noqa: E731
        eventually(known)
        consul.deregister(instance.instance_id)
        eventually(known)
        registration.leave()
        eventually(lambda: not known())

    def test_the_agent_may_be_away_when_it_starts_and_later(self, consul_url, instance):
        behind = urlsplit(consul_url)
        door = TcpProxy(behind.hostname, behind.port)
        consul = ConsulClient(consul_url)
        through = ConsulClient(f"http://127.0.0.1:{door.port}")
        registration = announced(through, instance, name=instance.instance_id)
        known = lambda: consul.is_in_catalogue(instance.instance_id, instance)  # noqa: E731
        assert not known()
        door.open()
        eventually(known)
        door.shut()
        consul.deregister(instance.instance_id)
        door.open()
        eventually(known)
        registration.leave()
        eventually(lambda: not known())
        door.shut()
