"""A background loop ends because it is stopped, and for no other reason."""

import socket
import threading

import pika.exceptions
import pytest

from services.common import background
from services.common.background import BackgroundLoop, DeadLoopError
from services.common.errors import StoreUnavailableError
from services.common.mesh.worker_status import WorkerStatus, describe
from services.common.messaging import queues, rabbitmq
from services.common.messaging.consumer import Consumer
from services.common.messaging.relay import OutboxRelay
from tests.support.waiting import eventually


class OddError(Exception):
    """An error that nobody thought of."""


class Script:
    """Raises what it was given, call by call; succeeds afterwards."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.successes = threading.Event()

    def __call__(self, loop):
        if self.errors:
            raise self.errors.pop(0)
        loop.succeeded()
        self.successes.set()
        loop.wait(60)


def run(work, **changes):
    loop = BackgroundLoop(name="loop", work=work, min_delay_seconds=0.001, **changes)
    loop.start()
    return loop


@pytest.mark.parametrize(
    "error",
    [OddError("odd"), StoreUnavailableError(), TimeoutError(), MemoryError(), KeyError("x")],
    ids=repr,
)
def test_a_loop_goes_on_after_whatever_is_raised(error, log):
    script = Script(error, error)
    loop = run(script)
    assert script.successes.wait(10)
    loop.stop()
    failed = [line for line in log if line["event"] == "worker_failed"]
    assert {(line["worker"], line["error"]) for line in failed} == {("loop", repr(error))}


def test_only_an_unexpected_error_is_logged_with_its_traceback(log):
    script = Script(StoreUnavailableError(), OddError())
    loop = run(script)
    assert script.successes.wait(10)
    loop.stop()
    assert [line["exc_info"] for line in log] == [False, True]


def test_a_long_outage_is_logged_less_and_less(log, monkeypatch):
    monkeypatch.setattr(background, "MAX_DELAY_SECONDS", 0.001)
    script = Script(*[StoreUnavailableError()] * 100)
    loop = run(script)
    assert script.successes.wait(10)
    loop.stop()
    assert len(log) == 7  # the failures 1, 2, 4, ... 64


def test_a_loop_reports_its_trouble_and_that_it_is_over():
    gate = threading.Event()

    def work(loop):
        if not gate.is_set():
            raise OddError
        loop.succeeded()
        loop.wait(60)

    loop = run(work)
    eventually(lambda: "OddError" in loop.report().text)
    assert not loop.report().healthy
    gate.set()
    eventually(lambda: loop.report().healthy)
    assert loop.report().text == "ok 0 s ago"
    loop.stop()


def test_a_loop_that_hangs_is_reported():
    released = threading.Event()
    loop = run(lambda _loop: released.wait(10), stale_seconds=0.01)
    eventually(lambda: loop.report().text.startswith("no success for"))
    assert not loop.report().healthy
    released.set()
    loop.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_that_dies_is_found():
    def die(_loop):
        raise SystemExit  # the one thing that ends a thread without a trace

    loop = run(die)
    eventually(lambda: not loop.is_alive)
    with pytest.raises(DeadLoopError, match="loop"):
        background.require_alive()
    assert loop.report().text == "its thread has ended"
    loop.stop()
    background.require_alive()


@pytest.fixture
def silent_broker():
    """Yield the URL of a broker that hangs: the kernel accepts, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/%2F"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(rabbitmq, "TIMEOUT_SECONDS", 0.2)


def test_a_broker_that_hangs_is_like_one_that_is_dead(silent_broker, impatient):
    with (
        pytest.raises(pika.exceptions.AMQPConnectionError),
        rabbitmq.connection(silent_broker, "test"),
    ):
        raise AssertionError("connected to silence")


def worker_of(kind, url):
    if kind == "relay":
        return OutboxRelay(outbox=None, url=url, name="test")  # type: ignore[arg-type]
    return Consumer(queue=queues.NOTIFICATIONS, handler=print, url=url)


@pytest.mark.parametrize("kind", ["relay", "consumer"])
def test_a_broker_that_hangs_ends_neither_relay_nor_consumer(kind, silent_broker, impatient, log):
    worker = worker_of(kind, silent_broker)
    worker.start()
    eventually(lambda: len(log) >= 2)
    assert worker._loop.is_alive
    assert not worker._loop.report().healthy
    worker.stop()
    assert {line["event"] for line in log} == {"worker_failed"}


class FakeConsul:
    """Consul as the reporter sees it; it may lose what it knows."""

    def __init__(self):
        self.known = {}
        self.metrics = {}

    def register_reporter(self, *, name, instance_id, address, port, tags):
        self.known[instance_id] = (name, None, None)
        self.metrics[instance_id] = (f"{address}:{port}", tags)

    def report(self, instance_id, *, healthy, text):
        if instance_id not in self.known:
            raise background.UnavailableError("unknown check")
        self.known[instance_id] = (self.known[instance_id][0], healthy, text)

    def deregister(self, instance_id):
        self.known.pop(instance_id, None)


@pytest.fixture
def consul(monkeypatch):
    monkeypatch.setattr(
        "services.common.mesh.worker_status.ConsulUnavailableError", background.UnavailableError
    )
    return FakeConsul()


def test_the_trouble_of_a_loop_is_in_consul_until_it_is_over(consul):
    script = Script(*[OddError()] * 12)
    loop = run(script)
    status = WorkerStatus(
        consul=consul,
        name="users",
        instance="users-1",
        address="127.0.0.1",
        metrics_port=9_000,
        report_seconds=0.01,
    )
    status.start()
    eventually(lambda: consul.known.get("users-1-workers", ("", True))[1] is False)
    name, _, text = consul.known["users-1-workers"]
    assert name == "users-workers"
    assert "loop: failing for" in text
    assert script.successes.wait(30)
    eventually(lambda: "loop: ok" in consul.known["users-1-workers"][2])
    consul.known.clear()
    eventually(lambda: consul.known.get("users-1-workers", ("", None))[1] is not None)
    status.leave()
    assert consul.known == {}
    loop.stop()


def test_the_metrics_of_a_process_replace_those_of_the_one_before(consul):
    """What was killed is still registered, with the port that it had."""
    consul.register_reporter(
        name="users-workers", instance_id="users-1-workers", address="127.0.0.1", port=1, tags=[]
    )
    status = WorkerStatus(
        consul=consul, name="users", instance="users-1", address="127.0.0.1", metrics_port=9_000
    )
    status.start()
    eventually(lambda: consul.metrics["users-1-workers"] == ("127.0.0.1:9000", ["metrics"]))
    status.leave()


def test_what_fails_is_named_first():
    reports = [
        background.LoopReport("consumer", True, "ok 1 s ago"),
        background.LoopReport("outbox-relay", False, "failing for 12 s: ConnectionRefusedError"),
    ]
    assert describe(reports) == (
        "outbox-relay: failing for 12 s: ConnectionRefusedError; consumer: ok 1 s ago"
    )
