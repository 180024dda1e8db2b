"""The circuit breaker: when it opens, who may pass, when it closes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError, UnavailableError
from services.common.mesh.breaker import FAILURES, CircuitBreaker, CircuitOpenError
from services.common.mesh.channels import open_channel
from services.common.rpc.status import DETAILS, build_status, error_info
from services.common.tests.fakes import ASK, FakeCall, available, build_server, serving, stub
from tests.support.waiting import eventually

OK, AWAY = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
REFUSALS = [code for code in grpc.StatusCode if code not in FAILURES]


CALL = SimpleNamespace(timeout=2.0)


class Call(FakeCall):
    """A call that ends with a reason, if it has one."""

    def __init__(self, reason):
        super().__init__()
        self._reason = reason

    def trailing_metadata(self):
        if not self._reason:
            return None
        status = build_status(AWAY, "", error_info(self._reason, {}))
        return ((DETAILS, status.SerializeToString()),)


class Circuit:
    """A breaker on a clock that the test moves, with calls that the test ends."""

    def __init__(self):
        self.now = 100.0
        self.breaker = CircuitBreaker(
            threshold=3,
            open_seconds=1.0,
            ignored_reasons={"SOMEBODY_ELSE_IS_AWAY"},
            monotonic=lambda: self.now,
        )

    def begin(self, reason=""):
        call = Call(reason)
        self.breaker.intercept_unary_unary(lambda _details, _request: call, CALL, None)
        return call

    def end(self, *codes, reason=""):
        for code in codes:
            self.begin(reason).finish(code)

    def opened(self):
        self.end(AWAY, AWAY, AWAY)
        return self


@pytest.fixture
def circuit():
    return Circuit()


def test_it_opens_with_exactly_the_third_failure_in_a_row(circuit):
    circuit.end(AWAY, AWAY)
    assert not circuit.breaker.is_open
    circuit.end(AWAY)
    assert circuit.breaker.is_open


@pytest.mark.parametrize("code", sorted(FAILURES, key=str))
def test_what_says_that_a_service_is_in_trouble_counts(circuit, code):
    circuit.end(code, code, code)
    assert circuit.breaker.is_open


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_does_not_count(circuit, code):
    circuit.end(*[code] * 5)
    assert not circuit.breaker.is_open


def test_a_service_that_answers_for_somebody_behind_it_is_well(circuit):
    circuit.end(*[AWAY] * 5, reason="SOMEBODY_ELSE_IS_AWAY")
    circuit.end(AWAY, AWAY)
    assert not circuit.breaker.is_open


def test_a_probe_that_is_answered_for_somebody_behind_closes_it(circuit):
    circuit.opened().now += 1.0
    circuit.end(AWAY, reason="SOMEBODY_ELSE_IS_AWAY")
    assert not circuit.breaker.is_open


def test_every_other_reason_for_being_away_counts(circuit):
    circuit.end(AWAY, AWAY, AWAY, reason="STORE_UNAVAILABLE")
    assert circuit.breaker.is_open


def test_failures_that_are_not_in_a_row_do_not_open_it(circuit):
    circuit.end(AWAY, AWAY, OK, AWAY, AWAY)
    assert not circuit.breaker.is_open


def test_a_cancelled_call_says_nothing(circuit):
    circuit.end(AWAY, AWAY, grpc.StatusCode.CANCELLED, AWAY)
    assert circuit.breaker.is_open


def test_while_it_is_open_no_call_is_made(circuit):
    circuit.opened()
    for _ in range(5):
        with pytest.raises(CircuitOpenError):
            circuit.begin()


def test_it_looks_to_callers_like_an_unavailable_service(circuit):
    with pytest.raises(grpc.RpcError) as caught:
        circuit.opened().begin()
    assert (caught.value.code(), caught.value.trailing_metadata()) == (AWAY, ())


def test_after_a_while_exactly_one_of_fifty_callers_passes(circuit):
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
    circuit.end(AWAY, AWAY)
    assert not circuit.breaker.is_open


def test_a_probe_that_is_refused_closes_it(circuit):
    circuit.opened().now += 1.0
    circuit.end(grpc.StatusCode.NOT_FOUND)
    assert not circuit.breaker.is_open


def test_a_probe_that_fails_keeps_it_open_for_another_while(circuit):
    circuit.opened().now += 1.0
    circuit.end(AWAY)
    circuit.now += 0.9
    with pytest.raises(CircuitOpenError):
        circuit.begin()
    circuit.now += 0.1
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_probe_that_is_cancelled_lets_the_next_call_find_out(circuit):
    circuit.opened().now += 1.0
    circuit.end(grpc.StatusCode.CANCELLED)
    assert circuit.breaker.is_open
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_probe_that_cannot_be_made_lets_the_next_call_find_out(circuit):
    def broken(_details, _request):
        raise ValueError("closed channel")

    circuit.opened().now += 1.0
    with pytest.raises(ValueError, match="closed channel"):
        circuit.breaker.intercept_unary_unary(broken, CALL, None)
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_late_failure_from_before_does_not_keep_it_open_longer(circuit):
    late = circuit.begin()
    circuit.opened().now += 0.9
    late.finish(AWAY)
    circuit.now += 0.1
    circuit.end(OK)
    assert not circuit.breaker.is_open


def test_a_late_success_from_before_does_not_close_it(circuit):
    late = circuit.begin()
    circuit.opened()
    late.finish(OK)
    assert circuit.breaker.is_open


def test_a_late_end_from_before_does_not_let_a_second_probe_pass(circuit):
    late = circuit.begin()
    circuit.opened().now += 1.0
    circuit.begin()
    late.finish(AWAY)
    circuit.now += 5.0
    with pytest.raises(CircuitOpenError):
        circuit.begin()


def test_late_failures_from_before_do_not_open_it_again(circuit):
    late = [circuit.begin() for _ in range(3)]
    circuit.opened().now += 1.0
    circuit.end(OK)
    for call in late:
        call.finish(AWAY)
    assert not circuit.breaker.is_open


def test_calls_are_not_serialised():
    together = threading.Barrier(10, timeout=10)

    def continuation(_details, _request):
        together.wait()  # passes only when all ten are on their way
        return FakeCall()

    breaker = CircuitBreaker()
    with ThreadPoolExecutor(10) as callers:
        list(
            callers.map(
                lambda _: breaker.intercept_unary_unary(continuation, CALL, None), range(10)
            )
        )


class ProviderAwayError(UnavailableError):
    """Somebody behind the service is away."""

    reason = "PROVIDER_UNAVAILABLE"

    def __init__(self):
        super().__init__("The provider is away.")


class Passing(grpc.UnaryUnaryClientInterceptor):
    """An interceptor that does nothing."""

    def intercept_unary_unary(self, continuation, client_call_details, request):
        return continuation(client_call_details, request)


@pytest.mark.integration
class TestOnAChannel:
    """With a real server behind, in each way in which gRPC makes a call."""

    def fail(self, call):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        return caught.value

    def test_calls_fail_at_once_while_it_is_open_and_go_through_afterwards(self):
        breaker = CircuitBreaker(open_seconds=0.2)
        server = build_server(lambda _request: available(1))
        with open_channel(f"127.0.0.1:{server.port}", Passing(), breaker) as channel:
            made = stub(channel)
            for _ in range(3):
                assert self.fail(lambda: made.VerifyStock(ASK, timeout=0.01)).code() in FAILURES
            for call in (made.VerifyStock, made.VerifyStock.with_call):
                assert self.fail(lambda: call(ASK)).details() == "circuit open"  # noqa: B023
            future = made.VerifyStock.future(ASK)
            assert self.fail(future.result).details() == "circuit open"
            with serving(server):
                eventually(lambda: self.answers(made), seconds=10)
                assert not breaker.is_open

    def answers(self, made):
        try:
            return made.VerifyStock(ASK, timeout=1)
        except grpc.RpcError:
            return None

    @pytest.mark.parametrize(
        ("error", "opens"), [(ProviderAwayError(), False), (StoreUnavailableError(), True)]
    )
    def test_the_reason_is_read_from_what_a_service_answers(self, error, opens):
        def refuse(_request):
            raise error

        breaker = CircuitBreaker(ignored_reasons={ProviderAwayError.reason})
        server = build_server(refuse)
        with (
            serving(server),
            open_channel(f"127.0.0.1:{server.port}", breaker) as channel,
        ):
            for _ in range(3):
                assert self.fail(lambda: stub(channel).VerifyStock(ASK, timeout=5)).code() is AWAY
        assert breaker.is_open is opens

    def test_a_future_counts_when_it_is_done(self):
        breaker = CircuitBreaker()
        with open_channel("127.0.0.1:1", breaker) as channel:
            futures = [stub(channel).VerifyStock.future(ASK, timeout=5) for _ in range(3)]
            assert all(future.exception() for future in futures)
            assert {future.code() for future in futures} == {AWAY}
            eventually(lambda: breaker.is_open)


def test_a_call_that_its_own_caller_cut_short_says_nothing(circuit):
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    with use(CallContext(deadline=time.monotonic() + 0.5)):
        circuit.end(late, late, late)
        assert not circuit.breaker.is_open
    with use(CallContext(deadline=time.monotonic() + 60)):
        circuit.end(late, late, late)
    assert circuit.breaker.is_open
