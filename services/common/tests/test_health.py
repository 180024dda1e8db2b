"""Health reflects the dependencies of a service."""

import pytest
from grpc_health.v1 import health_pb2

from services.common.rpc.health import NOT_SERVING, SERVING, HealthMonitor, IsolatedHealthServicer
from tests.support.waiting import eventually

NAMES = ("", "a.B", "a.C")


class Dependency:
    """A dependency whose check raises `error`, if it is set."""

    def __init__(self):
        self.error = None

    def __call__(self):
        if self.error:
            raise self.error


@pytest.fixture
def store():
    return Dependency()


@pytest.fixture
def bus():
    return Dependency()


@pytest.fixture
def servicer():
    return IsolatedHealthServicer()


@pytest.fixture
def monitor(servicer, store, bus):
    return HealthMonitor(
        servicer=servicer,
        names=NAMES[1:],
        checks={"store": store, "bus": bus},
        interval_seconds=0.01,
    )


def states(servicer):
    requests = [health_pb2.HealthCheckRequest(service=name) for name in NAMES]
    return {servicer.Check(request, None).status for request in requests}


def test_every_service_serves_while_all_checks_pass(monitor, servicer):
    monitor.check_once()
    assert states(servicer) == {SERVING}


def test_no_service_serves_while_one_check_fails(monitor, servicer, store):
    store.error = ConnectionError()
    monitor.check_once()
    assert states(servicer) == {NOT_SERVING}


def test_services_serve_again_when_the_check_passes(monitor, servicer, store):
    store.error = ConnectionError()
    monitor.check_once()
    store.error = None
    monitor.check_once()
    assert states(servicer) == {SERVING}


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError(), Exception(), TimeoutError()])
def test_any_exception_of_a_check_is_a_failure(monitor, servicer, bus, error):
    bus.error = error
    monitor.check_once()
    assert states(servicer) == {NOT_SERVING}


def test_a_change_is_logged_once_with_the_failing_checks(monitor, store, log):
    store.error = ConnectionError("password=secret")
    for _ in range(3):
        monitor.check_once()
    changes = [line for line in log if line["event"] == "health_changed"]
    assert [line["failing"] for line in changes] == [["store"]]


def test_without_dependencies_a_service_serves(servicer):
    HealthMonitor(servicer=servicer, names=NAMES[1:], checks={}).check_once()
    assert states(servicer) == {SERVING}


def test_it_checks_periodically(monitor, servicer, store):
    monitor.start()
    assert states(servicer) == {SERVING}
    store.error = ConnectionError()
    eventually(lambda: states(servicer) == {NOT_SERVING})
    store.error = None
    eventually(lambda: states(servicer) == {SERVING})
    monitor.drain()


def test_draining_is_final(monitor, servicer, store):
    monitor.check_once()
    monitor.drain()
    assert states(servicer) == {NOT_SERVING}
    monitor.check_once()
    assert states(servicer) == {NOT_SERVING}


def test_a_detail_has_a_name_of_its_own_and_does_not_decide(servicer, store, bus):
    monitor = HealthMonitor(
        servicer=servicer, names=NAMES[1:], checks={"store": store}, details={"upstream/bus": bus}
    )
    request = health_pb2.HealthCheckRequest(service="upstream/bus")
    bus.error = ConnectionError()
    monitor.check_once()
    assert (states(servicer), servicer.Check(request, None).status) == ({SERVING}, NOT_SERVING)
    bus.error = None
    monitor.check_once()
    assert servicer.Check(request, None).status == SERVING
