"""The circuit breaker: when it opens, which calls it lets through, when it closes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from services.common.context import CallContext, use
from services.common.mesh.breaker import FAILURE_CODES, CircuitBreaker, CircuitOpenError
from services.common.mesh.channels import CallDetails
from services.common.rpc.status import DETAILS, build_status, error_info
from tests.support.metrics import adds, value

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
HEALTHY_CODES = [code for code in grpc.StatusCode if code not in FAILURE_CODES]
CALL_DETAILS = CallDetails("/a/B", 2.0, None, None, None, None)


class FakeCall:
    """A call that ends when the test finishes it, with an error reason if it has one."""

    def __init__(self, reason=""):
        self._reason = reason
        self._callbacks = []
        self._code = None

    def code(self):
        return self._code

    def trailing_metadata(self):
        if not self._reason:
            return None
        status = build_status(UNAVAILABLE, "", error_info(self._reason, {}))
        return ((DETAILS, status.SerializeToString()),)

    def add_done_callback(self, callback, /):
        self._callbacks.append(callback)

    def finish(self, code):
        self._code = code
        for callback in self._callbacks:
            callback(self)


class Circuit:
    """A breaker with a clock and calls that the test controls."""

    def __init__(self, upstream=""):
        self.now = 100.0
        self.breaker = CircuitBreaker(
            upstream=upstream,
            threshold=3,
            open_seconds=1.0,
            ignored_reasons={"DEPENDENCY_UNAVAILABLE"},
            monotonic=lambda: self.now,
        )

    def begin(self, reason=""):
        call = FakeCall(reason)
        self.breaker.intercept_unary_unary(lambda _details, _request: call, CALL_DETAILS, None)
        return call

    def end(self, *codes, reason=""):
        for code in codes:
            self.begin(reason).finish(code)

    def opened(self):
        self.end(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
        return self


@pytest.fixture
def circuit():
    return Circuit()


def test_it_opens_at_the_third_failure_in_a_row(circuit):
    circuit.end(UNAVAILABLE, UNAVAILABLE)
    assert not circuit.breaker.is_open
    circuit.end(UNAVAILABLE)
    assert circuit.breaker.is_open


@pytest.mark.parametrize("code", sorted(FAILURE_CODES, key=str))
def test_the_codes_of_an_unhealthy_upstream_are_failures(circuit, code):
    circuit.end(code, code, code)
    assert circuit.breaker.is_open


@pytest.mark.parametrize("code", HEALTHY_CODES)
def test_the_codes_of_a_healthy_upstream_are_no_failures(circuit, code):
    circuit.end(*[code] * 5)
    assert not circuit.breaker.is_open


def test_a_failure_of_a_dependency_behind_the_upstream_is_ignored(circuit):
    circuit.end(*[UNAVAILABLE] * 5, reason="DEPENDENCY_UNAVAILABLE")
    circuit.end(UNAVAILABLE, UNAVAILABLE)
    assert not circuit.breaker.is_open


def test_a_probe_with_an_ignored_reason_closes_it(circuit):
    circuit.opened().now += 1.0
    circuit.end(UNAVAILABLE, reason="DEPENDENCY_UNAVAILABLE")
    assert not circuit.breaker.is_open


def test_other_reasons_are_not_ignored(circuit):
    circuit.end(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, reason="STORE_UNAVAILABLE")
    assert circuit.breaker.is_open


def test_failures_that_are_not_in_a_row_do_not_open_it(circuit):
    circuit.end(UNAVAILABLE, UNAVAILABLE, OK, UNAVAILABLE, UNAVAILABLE)
    assert not circuit.breaker.is_open


def test_a_cancelled_call_does_not_count(circuit):
    circuit.end(UNAVAILABLE, UNAVAILABLE, grpc.StatusCode.CANCELLED, UNAVAILABLE)
    assert circuit.breaker.is_open


def test_while_it_is_open_no_call_is_made(circuit):
    circuit.opened()
    for _ in range(5):
        with pytest.raises(CircuitOpenError):
            circuit.begin()


def test_callers_see_an_unavailable_service(circuit):
    with pytest.raises(grpc.RpcError) as caught:
        circuit.opened().begin()
    assert (caught.value.code(), caught.value.trailing_metadata()) == (UNAVAILABLE, ())


def test_after_the_delay_exactly_one_of_fifty_calls_is_let_through(circuit):
    circuit.opened().now += 1.0
    together = threading.Barrier(50)

    def call(_):
        together.wait()
        try:
            return circuit.begin()
        except CircuitOpenError:
            return None

    with ThreadPoolExecutor(50) as callers:
        passed = [made for made in callers.map(call, range(50)) if made]
    assert len(passed) == 1


def test_a_probe_that_succeeds_closes_it(circuit):
    circuit.opened().now += 1.0
    circuit.end(OK)
    assert not circuit.breaker.is_open
    circuit.end(UNAVAILABLE, UNAVAILABLE)
    assert not circuit.breaker.is_open


def test_a_probe_with_not_found_closes_it(circuit):
    circuit.opened().now += 1.0
    circuit.end(grpc.StatusCode.NOT_FOUND)
    assert not circuit.breaker.is_open


def test_a_failed_probe_keeps_it_open_for_another_delay(circuit):
    circuit.opened().now += 1.0
    circuit.end(UNAVAILABLE)
    circuit.now += 0.9
    with pytest.raises(CircuitOpenError):
        circuit.begin()
    circuit.now += 0.1
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_after_a_cancelled_probe_the_next_call_is_the_probe(circuit):
    circuit.opened().now += 1.0
    circuit.end(grpc.StatusCode.CANCELLED)
    assert circuit.breaker.is_open
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_after_a_probe_that_raises_the_next_call_is_the_probe(circuit):
    def broken(_details, _request):
        raise ValueError("closed channel")

    circuit.opened().now += 1.0
    with pytest.raises(ValueError, match="closed channel"):
        circuit.breaker.intercept_unary_unary(broken, CALL_DETAILS, None)
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_failure_of_a_call_from_before_it_opened_does_not_prolong_it(circuit):
    late = circuit.begin()
    circuit.opened().now += 0.9
    late.finish(UNAVAILABLE)
    circuit.now += 0.1
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_success_of_a_call_from_before_it_opened_does_not_close_it(circuit):
    late = circuit.begin()
    circuit.opened()
    late.finish(OK)
    assert circuit.breaker.is_open


def test_the_end_of_a_call_from_before_it_opened_admits_no_second_probe(circuit):
    late = circuit.begin()
    circuit.opened().now += 1.0
    circuit.begin()
    late.finish(UNAVAILABLE)
    circuit.now += 5.0
    with pytest.raises(CircuitOpenError):
        circuit.begin()


def test_failures_of_calls_from_before_it_opened_do_not_open_it_again(circuit):
    late = [circuit.begin() for _ in range(3)]
    circuit.opened().now += 1.0
    circuit.end(OK)
    for call in late:
        call.finish(UNAVAILABLE)
    assert not circuit.breaker.is_open


def test_calls_run_concurrently():
    together = threading.Barrier(10, timeout=10)

    def continuation(_details, _request):
        together.wait()  # passes only when all ten calls are in flight
        return FakeCall()

    breaker = CircuitBreaker()
    with ThreadPoolExecutor(10) as callers:
        call = lambda _: breaker.intercept_unary_unary(continuation, CALL_DETAILS, None)  # noqa: E731
        list(callers.map(call, range(10)))


def test_a_timeout_that_the_callers_deadline_shortened_does_not_count(circuit):
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    with use(CallContext(deadline=time.monotonic() + 0.5)):
        circuit.end(late, late, late)
        assert not circuit.breaker.is_open
    with use(CallContext(deadline=time.monotonic() + 60)):
        circuit.end(late, late, late)
    assert circuit.breaker.is_open


def test_its_state_and_how_often_it_opened_are_measured():
    breaker = Circuit(upstream="measured")
    assert value("mamie_circuit_breaker_open", upstream="measured") == 0
    with adds(1, "mamie_circuit_breaker_opened_total", upstream="measured"):
        breaker.opened()
    assert value("mamie_circuit_breaker_open", upstream="measured") == 1
    breaker.now += 1.0
    breaker.end(OK)
    assert value("mamie_circuit_breaker_open", upstream="measured") == 0
