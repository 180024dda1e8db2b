"""The circuit breaker on a channel, with a real server and each way to make a call."""

import grpc
import pytest

from services.common.errors import StoreUnavailableError, UnavailableError
from services.common.mesh.breaker import FAILURE_CODES, CircuitBreaker
from services.common.mesh.channels import open_channel
from services.common.tests.fakes import ASK, available, build_server, serving, stub
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class ProviderUnavailableError(UnavailableError):
    """A dependency behind the upstream is unavailable."""

    reason = "PROVIDER_UNAVAILABLE"

    def __init__(self):
        super().__init__("The provider does not answer.")


class NoOpInterceptor(grpc.UnaryUnaryClientInterceptor):
    """An interceptor that does nothing."""

    def intercept_unary_unary(self, continuation, client_call_details, request):
        return continuation(client_call_details, request)


def error_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_calls_fail_at_once_while_it_is_open_and_succeed_afterwards():
    breaker = CircuitBreaker(open_seconds=0.2)
    server = build_server(lambda _request: available(1))
    with open_channel(f"127.0.0.1:{server.port}", NoOpInterceptor(), breaker) as channel:
        service = stub(channel)
        for _ in range(3):
            error = error_of(lambda: service.VerifyStock(ASK, timeout=0.01))
            assert error.code() in FAILURE_CODES
        for call in (service.VerifyStock, service.VerifyStock.with_call):
            assert error_of(lambda: call(ASK)).details() == "circuit open"  # noqa: B023
        future = service.VerifyStock.future(ASK)
        assert error_of(future.result).details() == "circuit open"
        with serving(server):
            eventually(lambda: call_or_none(service), seconds=10)
            assert not breaker.is_open


def call_or_none(service):
    try:
        return service.VerifyStock(ASK, timeout=1)
    except grpc.RpcError:
        return None


@pytest.mark.parametrize(
    ("error", "opens"), [(ProviderUnavailableError(), False), (StoreUnavailableError(), True)]
)
def test_the_reason_is_read_from_the_response(error, opens):
    def fail(_request):
        raise error

    breaker = CircuitBreaker(ignored_reasons={ProviderUnavailableError.reason})
    server = build_server(fail)
    with (
        serving(server),
        open_channel(f"127.0.0.1:{server.port}", breaker) as channel,
    ):
        for _ in range(3):
            caught = error_of(lambda: stub(channel).VerifyStock(ASK, timeout=5))
            assert caught.code() is UNAVAILABLE
    assert breaker.is_open is opens


def test_a_future_counts_when_it_is_done():
    breaker = CircuitBreaker()
    with open_channel("127.0.0.1:1", breaker) as channel:
        futures = [stub(channel).VerifyStock.future(ASK, timeout=5) for _ in range(3)]
        assert all(future.exception() for future in futures)
        assert {future.code() for future in futures} == {UNAVAILABLE}
        eventually(lambda: breaker.is_open)
