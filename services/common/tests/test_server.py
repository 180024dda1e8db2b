"""The server on a real socket: admission, health, reflection, ports, stop."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.errors import UnprocessableError
from services.common.rpc.health import SERVING, HealthMonitor
from services.common.rpc.server import CannotListenError
from services.common.rpc.status import HTTP_CODE, read_status
from services.common.tests.fakes import (
    ASK,
    SERVICE,
    SlowBehavior,
    available,
    build_server,
    serving,
    stub,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def slow():
    behavior = SlowBehavior()
    yield behavior
    behavior.release.set()


def health(channel, service=""):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


def begin(channel, slow):
    """Start a call and return when the servicer has it."""
    call = stub(channel).VerifyStock.future(ASK, timeout=30)
    assert slow.entered.wait(10)
    return call


class TestAdmission:
    """With one thread and a queue of two."""

    @pytest.fixture
    def server(self, slow):
        server = build_server(slow, worker_threads=1, queue_limit=2)
        HealthMonitor(servicer=server.health, names=server.names, checks={}).check_once()
        return server

    def test_calls_beyond_the_limit_are_rejected_at_once(self, server, slow):
        with serving(server) as channel:
            calls = [begin(channel, slow)]
            calls += [stub(channel).VerifyStock.future(ASK, timeout=30) for _ in range(9)]
            rejected = eventually(lambda: done if len(done := finished(calls)) == 7 else None)
            assert {call.code() for call in rejected} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert {read_status(call)[0] for call in rejected} == {"OVERLOADED"}
            slow.release.set()
            assert sum(call.code() is grpc.StatusCode.OK for call in calls) == 3

    def test_an_overloaded_server_still_answers_health_checks(self, server, slow):
        with serving(server) as channel:
            begin(channel, slow)
            for _ in range(9):
                stub(channel).VerifyStock.future(ASK, timeout=30)
            assert health(channel) == SERVING
            assert health(channel, SERVICE) == SERVING
            slow.release.set()

    def test_after_an_overload_calls_succeed_again(self, server, slow):
        with serving(server) as channel:
            begin(channel, slow)
            calls = [stub(channel).VerifyStock.future(ASK, timeout=30) for _ in range(9)]
            slow.release.set()
            eventually(lambda: len(finished(calls)) == 9)
            assert stub(channel).VerifyStock(ASK, timeout=5) == available(1)


def finished(calls):
    return [call for call in calls if call.done()]


def test_a_second_server_cannot_listen_on_the_same_port():
    first = build_server(lambda _request: available(1))
    with serving(first), pytest.raises(CannotListenError, match=f"127.0.0.1:{first.port}"):
        build_server(lambda _request: available(2), port=first.port)


def test_the_port_of_a_stopped_server_is_free():
    first = build_server(lambda _request: available(1))
    with serving(first):
        pass
    with serving(build_server(lambda _request: available(2), port=first.port)) as channel:
        assert stub(channel).VerifyStock(ASK, timeout=5) == available(2)


def test_reflection_lists_all_services():
    with serving(build_server(lambda _request: available(1))) as channel:
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        (response,) = reflection.ServerReflectionInfo(requests, timeout=5)
    assert {service.name for service in response.list_services_response.service} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_an_unknown_method_is_unimplemented():
    with serving(build_server(lambda _request: available(1))) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/Nothing"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_graceful_stop_finishes_the_calls_in_flight_and_accepts_no_more(slow):
    server = build_server(slow)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = begin(channel, slow)
        with ThreadPoolExecutor(1) as stopper:
            stopped = stopper.submit(server.stop, 30)
            eventually(lambda: is_unavailable(channel))
            assert not stopped.done()
            slow.release.set()
            assert call.result(timeout=10) == available(1)
            stopped.result(timeout=10)


def is_unavailable(channel):
    future = stub(channel).VerifyStock.future(ASK, timeout=0.2)
    future.exception()
    return future.code() is grpc.StatusCode.UNAVAILABLE


def test_a_stop_without_grace_cancels_calls(slow):
    server = build_server(slow)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = begin(channel, slow)
        stopping = threading.Thread(target=server.stop, args=(0,))
        stopping.start()
        assert call.exception(timeout=10).code() is not grpc.StatusCode.OK
        slow.release.set()
        stopping.join(10)


class ShortError(UnprocessableError):
    reason = "SHORT"


def test_an_error_arrives_with_its_reason_metadata_and_http_status():
    def behavior(_request):
        raise ShortError("Zu wenig für alle.", productIds="a")

    with serving(build_server(behavior)) as channel, pytest.raises(grpc.RpcError) as caught:
        stub(channel).VerifyStock(ASK, timeout=5)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "Zu wenig für alle."
    assert read_status(caught.value) == ("SHORT", {"productIds": "a"})
    assert (HTTP_CODE, "422") in caught.value.trailing_metadata()


def test_an_unexpected_exception_arrives_without_its_text():
    def behavior(_request):
        raise RuntimeError("secret")

    with serving(build_server(behavior)) as channel, pytest.raises(grpc.RpcError) as caught:
        stub(channel).VerifyStock(ASK, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(caught.value)
    assert read_status(caught.value)[0] == "INTERNAL"


def test_the_headers_that_the_edge_lets_in_always_fit():
    server = build_server(lambda _request: available(1))
    with serving(server) as channel:
        for _ in range(20):  # above grpcio's soft limit a call fails at random
            metadata = (("x-long", "x" * 40_000),)
            assert stub(channel).VerifyStock(ASK, timeout=5, metadata=metadata) == available(1)
