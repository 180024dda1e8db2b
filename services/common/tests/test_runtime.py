"""The life of a service process, from its port to its end."""

import re
import signal
import sys
import uuid
from contextlib import contextmanager

import grpc
import pytest

from scripts.stack.ports import free_port
from services.common import runtime
from services.common.errors import StoreUnavailableError
from services.common.mesh.consul import ConsulClient, Instance
from services.common.mesh.manifest import Manifest
from services.common.tests.fakes import ASK, available, build_server, serving, stub
from services.common.tests.processes import output_of, running, serves
from services.common.tests.streams import part, watch
from services.common.tests.tiny_service import read_config
from tests.waiting import eventually

pytestmark = pytest.mark.integration

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def here():
    """Return an instance that nobody else is; its id is also its service's name."""
    return Instance(f"test-{uuid.uuid4().hex[:8]}", "127.0.0.1", free_port())


@contextmanager
def service(here, *how, consul_url=NOWHERE):
    name = here.instance_id
    variables = {"INSTANCE": name, "PORT": str(here.port), "CONSUL_URL": consul_url}
    module = "services.common.tests.tiny_service"
    with running(module, name, *how, DRAIN_SECONDS="0", **variables) as process:
        yield process


@contextmanager
def reached(here):
    """Yield a channel to an instance that listens."""
    with grpc.insecure_channel(f"127.0.0.1:{here.port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield channel


def end(process):
    """Ask a process to end, and return what it has said when it has."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    return output_of(process)


def test_a_port_that_is_taken_ends_the_process_and_is_named_in_one_line(here):
    server = build_server(lambda _request: available(1), port=here.port)
    with serving(server), service(here) as process:
        assert process.wait(timeout=30) == 1
        text = output_of(process)
    (line,) = [line for line in text.splitlines() if "cannot_listen" in line]
    assert f"127.0.0.1:{here.port}" in line
    assert "Traceback" not in text


def test_a_service_announces_itself_and_leaves_when_it_is_told_to(consul_url, here):
    consul = ConsulClient(consul_url)
    known = lambda: consul.is_in_catalogue(here.instance_id, here)  # noqa: E731
    with service(here, consul_url=consul_url) as process:
        eventually(known, seconds=30)
        text = end(process)
    eventually(lambda: not known())
    events = ("service_started", "registered", "service_draining", "service_stopped")
    assert all(event in text for event in events)
    assert "Traceback" not in text


def test_a_service_serves_without_consul_and_stops_without_it(here):
    with service(here) as process, reached(here) as channel:
        assert serves(channel)
        assert stub(channel).VerifyStock(ASK, timeout=5) == available(1)
        assert "Traceback" not in end(process)


def test_a_service_whose_store_is_away_runs_and_says_so(here):
    with service(here, "away") as process, reached(here) as channel:
        assert not serves(channel)
        assert process.poll() is None


def test_streams_are_served_under_a_name_of_their_own_and_end_well(consul_url, here):
    consul, name = ConsulClient(consul_url), f"{here.instance_id}-streams"
    with service(here, "streams", consul_url=consul_url) as process:
        known = lambda: consul.wait_for_instances(name, None)[1]  # noqa: E731
        (found,) = eventually(known, seconds=30)
        assert found.port != here.port
        with grpc.insecure_channel(f"127.0.0.1:{found.port}") as channel, reached(here) as main:
            assert serves(channel)
            assert stub(main).VerifyStock(ASK, timeout=5) == available(1)
            streams = [watch(channel) for _ in range(5)]
            assert [next(stream) for stream in streams] == [part("begun")] * 5
            process.send_signal(signal.SIGTERM)
            assert [list(stream) for stream in streams] == [[]] * 5
        text = end(process)
    eventually(lambda: not known())
    assert "service_stopped" in text
    assert "Traceback" not in text


def test_streams_of_a_service_whose_store_is_away_are_not_healthy(consul_url, here):
    with service(here, "away", "streams", consul_url=consul_url) as process:
        told = lambda: re.search(r'-streams": (\d+)', output_of(process))  # noqa: E731
        port = eventually(told, seconds=30)[1]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert not serves(channel)


class Store:
    """A store that is away for some calls."""

    def __init__(self, *, away):
        self.away = away
        self.calls = 0

    def migrate(self):
        self.calls += 1
        if self.calls <= self.away:
            raise StoreUnavailableError from ConnectionError("password refused\nfor somebody")


@pytest.fixture
def run(monkeypatch):
    """Return what runs a process's verb with a store; logging stays as the tests have it."""
    monkeypatch.setattr(runtime, "configure_logging", lambda **_: None)
    monkeypatch.setattr(runtime, "RETRY_DELAY_SECONDS", 0)
    monkeypatch.setattr(sys, "argv", ["service", "migrate"])

    def start(store):
        runtime.run(
            Manifest(name="service", port=0),
            read_config,
            serve=lambda _config: None,
            migrate=lambda _config: store.migrate(),
        )

    return start


def test_what_needs_a_store_that_is_starting_waits_for_it(run, log):
    store = Store(away=2)
    run(store)
    assert store.calls == 3
    assert [entry["cause"] for entry in log] == ["password refused"]


def test_a_store_that_stays_away_ends_the_process_and_the_cause_is_named(run, log, monkeypatch):
    monkeypatch.setattr(runtime, "TASK_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(SystemExit) as caught:
        run(Store(away=10**9))
    assert caught.value.code == 1
    assert (log[-1]["event"], log[-1]["cause"]) == ("gave_up", "password refused")


@pytest.mark.parametrize("verbs", [{}, {"serve": print}])
def test_a_process_without_a_verb_of_its_manifest_does_not_start(verbs):
    manifest = Manifest(name="service", port=0, tasks=("migrate",))
    with pytest.raises(ValueError, match="service lacks the verbs migrate"):
        runtime.run(manifest, read_config, **verbs)


def test_an_unknown_verb_ends_the_process_with_the_verbs_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["service", "polish"])
    with pytest.raises(SystemExit) as caught:
        runtime.run(Manifest(name="service", port=0), read_config, serve=print, rotate_keys=print)
    assert caught.value.code == 2
    message = "unknown verb 'polish'; there are: serve, rotate-keys\n"
    assert capsys.readouterr().err == message


def test_a_channel_to_a_service_that_the_manifest_does_not_name_is_refused():
    manifest = Manifest(name="service", port=0, upstreams=("catalog",))
    mesh = runtime.open_mesh(manifest, read_config().service)
    with pytest.raises(ValueError, match="orders is not among the upstreams"):
        mesh.channel("orders")
