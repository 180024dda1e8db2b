"""The life cycle of a service process: start, register, serve, drain, stop; and its verbs."""

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
from services.common.manifest import Manifest
from services.common.mesh.consul import ConsulClient, Instance
from services.common.tests.fakes import ASK, available, build_server, serving, stub
from services.common.tests.processes import is_serving, output_of, running
from services.common.tests.streams import part, watch
from services.common.tests.tiny_service import read_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

UNAVAILABLE_CONSUL = "http://127.0.0.1:1"


@pytest.fixture
def instance():
    """Return a unique instance; its id is also the name of its service."""
    return Instance(f"test-{uuid.uuid4().hex[:8]}", "127.0.0.1", free_port())


@contextmanager
def service(instance, *options, consul_url=UNAVAILABLE_CONSUL):
    name = instance.instance_id
    variables = {"INSTANCE": name, "PORT": str(instance.port), "CONSUL_URL": consul_url}
    module = "services.common.tests.tiny_service"
    with running(module, name, *options, DRAIN_SECONDS="0", **variables) as process:
        yield process


@contextmanager
def connected(instance):
    """Yield a channel that is connected to an instance."""
    with grpc.insecure_channel(f"127.0.0.1:{instance.port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield channel


def stop(process):
    """Send SIGTERM to a process, wait for its end, and return its output."""
    process.send_signal(signal.SIGTERM)
    return wait_for_end(process)


def wait_for_end(process):
    assert process.wait(timeout=20) == 0
    return output_of(process)


def test_a_port_that_is_taken_ends_the_process_and_is_named_in_one_line(instance):
    server = build_server(lambda _request: available(1), port=instance.port)
    with serving(server), service(instance) as process:
        assert process.wait(timeout=30) == 1
        text = output_of(process)
    (line,) = [line for line in text.splitlines() if "cannot_listen" in line]
    assert f"127.0.0.1:{instance.port}" in line
    assert "Traceback" not in text


def test_a_service_registers_itself_and_deregisters_on_sigterm(consul_url, instance):
    consul = ConsulClient(consul_url)
    registered = lambda: consul.is_in_catalogue(instance.instance_id, instance)  # noqa: E731
    with service(instance, consul_url=consul_url) as process:
        eventually(registered, seconds=30)
        text = stop(process)
    eventually(lambda: not registered())
    events = ("service_started", "registered", "service_draining", "service_stopped")
    assert all(event in text for event in events)
    assert "Traceback" not in text


def test_a_service_serves_without_consul_and_stops_without_it(instance):
    with service(instance) as process, connected(instance) as channel:
        assert is_serving(channel)
        assert stub(channel).VerifyStock(ASK, timeout=5) == available(1)
        assert "Traceback" not in stop(process)


def test_a_service_without_its_store_runs_and_is_not_serving(instance):
    with service(instance, "no-store") as process, connected(instance) as channel:
        assert not is_serving(channel)
        assert process.poll() is None


def test_streams_have_their_own_service_name_and_end_at_the_stop(consul_url, instance):
    consul, name = ConsulClient(consul_url), f"{instance.instance_id}-streams"
    with service(instance, "streams", consul_url=consul_url) as process:
        registered = lambda: consul.wait_for_instances(name, None)[1]  # noqa: E731
        (found,) = eventually(registered, seconds=30)
        assert found.port != instance.port
        with (
            grpc.insecure_channel(f"127.0.0.1:{found.port}") as channel,
            connected(instance) as main,
        ):
            assert is_serving(channel)
            assert stub(main).VerifyStock(ASK, timeout=5) == available(1)
            streams = [watch(channel) for _ in range(5)]
            assert [next(stream) for stream in streams] == [part("started")] * 5
            process.send_signal(signal.SIGTERM)
            assert [list(stream) for stream in streams] == [[]] * 5
        text = wait_for_end(process)
    eventually(lambda: not registered())
    assert "service_stopped" in text
    assert "Traceback" not in text


def test_streams_of_a_service_without_its_store_are_not_serving(consul_url, instance):
    with service(instance, "no-store", "streams", consul_url=consul_url) as process:
        logged_port = lambda: re.search(r'-streams": (\d+)', output_of(process))  # noqa: E731
        port = eventually(logged_port, seconds=30)[1]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert not is_serving(channel)


class Store:
    """A store that is unavailable for some calls."""

    def __init__(self, *, failures):
        self.failures = failures
        self.calls = 0

    def migrate(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise StoreUnavailableError from ConnectionError("password rejected\nfor user")


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the verb migrate with a store; logging stays as in the tests."""
    monkeypatch.setattr(runtime, "configure_logging", lambda **_: None)
    monkeypatch.setattr(runtime, "RETRY_DELAY_SECONDS", 0)
    monkeypatch.setattr(sys, "argv", ["service", "migrate"])

    def migrate(store):
        runtime.run(
            Manifest(name="service", port=0),
            read_config,
            serve=lambda _config: None,
            migrate=lambda _config: store.migrate(),
        )

    return migrate


def test_a_task_waits_for_a_store_that_is_starting(run, log):
    store = Store(failures=2)
    run(store)
    assert store.calls == 3
    assert [entry["cause"] for entry in log] == ["password rejected"]


def test_a_store_that_stays_unavailable_ends_the_process_with_its_cause(run, log, monkeypatch):
    monkeypatch.setattr(runtime, "TASK_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(SystemExit) as caught:
        run(Store(failures=10**9))
    assert caught.value.code == 1
    assert (log[-1]["event"], log[-1]["cause"]) == ("gave_up", "password rejected")


@pytest.mark.parametrize("verbs", [{}, {"serve": print}])
def test_a_process_without_a_task_of_its_manifest_does_not_start(verbs):
    manifest = Manifest(name="service", port=0, tasks=("migrate",))
    with pytest.raises(ValueError, match="service lacks the verbs migrate"):
        runtime.run(manifest, read_config, **verbs)


def test_an_unknown_verb_ends_the_process_and_lists_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["service", "polish"])
    with pytest.raises(SystemExit) as caught:
        runtime.run(Manifest(name="service", port=0), read_config, serve=print, rotate_keys=print)
    assert caught.value.code == 2
    message = "unknown verb 'polish'; there are: serve, rotate-keys\n"
    assert capsys.readouterr().err == message


def test_a_channel_to_a_service_that_is_not_an_upstream_is_rejected():
    manifest = Manifest(name="service", port=0, upstreams=("catalog",))
    mesh = runtime.open_mesh(manifest, read_config().service)
    with pytest.raises(ValueError, match="orders is not among the upstreams"):
        mesh.channel("orders")
