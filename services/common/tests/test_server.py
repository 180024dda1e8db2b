"""The server on a real socket: admission, health, reflection, ports, stop."""

import contextlib
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mamie_rosa import catalog_pb2

from services.common.context import current
from services.common.errors import UnprocessableError
from services.common.rpc.health import SERVING, HealthMonitor
from services.common.rpc.server import IMPLEMENTATIONS, CannotListenError
from services.common.rpc.status import HTTP_CODE, read_status
from services.common.tests import fakes
from services.common.tests.fakes import ASK, SERVICE, SlowBehavior, available, serving, stub
from tests.support.metrics import adds
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"


@pytest.fixture(params=IMPLEMENTATIONS)
def build_server(request):
    """Return a function that builds a server of VerifyStock, of each implementation in turn."""
    if request.param == "native":
        pytest.importorskip("pygrpc_native")
    return partial(fakes.build_server, implementation=request.param)


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
    def server(self, build_server, slow):
        server = build_server(slow, worker_threads=1, queue_limit=2)
        HealthMonitor(servicer=server.health, names=server.names, checks={}).check_once()
        return server

    def test_calls_beyond_the_limit_are_rejected_at_once(self, server, slow):
        with serving(server) as channel, adds(7, "mamie_rpc_rejected_total"):
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


def test_a_second_server_cannot_listen_on_the_same_port(build_server):
    first = build_server(lambda _request: available(1))
    with serving(first), pytest.raises(CannotListenError, match=f"127.0.0.1:{first.port}"):
        build_server(lambda _request: available(2), port=first.port)


def test_the_port_of_a_stopped_server_is_free(build_server):
    first = build_server(lambda _request: available(1))
    with serving(first):
        pass
    with serving(build_server(lambda _request: available(2), port=first.port)) as channel:
        assert stub(channel).VerifyStock(ASK, timeout=5) == available(2)


def test_reflection_lists_all_services(build_server):
    with serving(build_server(lambda _request: available(1))) as channel:
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        (response,) = reflection.ServerReflectionInfo(requests, timeout=5)
    assert {service.name for service in response.list_services_response.service} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_an_unknown_method_is_unimplemented(build_server):
    with serving(build_server(lambda _request: available(1))) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/Nothing"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_graceful_stop_finishes_the_calls_in_flight_and_accepts_no_more(build_server, slow):
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


def test_a_stop_without_grace_cancels_calls(build_server, slow):
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


def test_an_error_arrives_with_its_reason_metadata_and_http_status(build_server):
    def behavior(_request):
        raise ShortError("Zu wenig für alle.", productIds="a")

    with serving(build_server(behavior)) as channel, pytest.raises(grpc.RpcError) as caught:
        stub(channel).VerifyStock(ASK, timeout=5)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "Zu wenig für alle."
    assert read_status(caught.value) == ("SHORT", {"productIds": "a"})
    assert (HTTP_CODE, "422") in caught.value.trailing_metadata()


def test_an_unexpected_exception_arrives_without_its_text(build_server):
    def behavior(_request):
        raise RuntimeError("secret")

    with serving(build_server(behavior)) as channel, pytest.raises(grpc.RpcError) as caught:
        stub(channel).VerifyStock(ASK, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(caught.value)
    assert read_status(caught.value)[0] == "INTERNAL"


def test_the_headers_that_the_edge_lets_in_always_fit(build_server):
    server = build_server(lambda _request: available(1))
    with serving(server) as channel:
        for _ in range(20):  # above grpcio's soft limit a call fails at random
            metadata = (("x-long", "x" * 40_000),)
            assert stub(channel).VerifyStock(ASK, timeout=5, metadata=metadata) == available(1)


def test_a_request_may_have_two_mebibytes_and_no_more(build_server):
    limit = 2 * 1024 * 1024
    with serving(build_server(lambda _request: available(1))) as channel:
        fits = catalog_pb2.StockCheckRequest(product_id="x" * (limit - 100), quantity=1)
        assert stub(channel).VerifyStock(fits, timeout=10) == available(1)
        with pytest.raises(grpc.RpcError) as caught:
            too_long = catalog_pb2.StockCheckRequest(product_id="x" * limit, quantity=1)
            stub(channel).VerifyStock(too_long, timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message_are_an_error_of_that_call_alone(build_server):
    with serving(build_server(lambda _request: available(1))) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/VerifyStock"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff", timeout=5)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert stub(channel).VerifyStock(ASK, timeout=5) == available(1)


class TestOneThread:
    """What a call that waits for a thread loses: time, and its turn when it is cancelled."""

    @pytest.fixture
    def calls(self):
        """What the servicer got: the product and the deadline."""
        return []

    @pytest.fixture
    def channel(self, build_server, slow, calls):
        def behavior(request):
            calls.append((request.product_id, current().deadline))
            return slow(request)

        with serving(build_server(behavior, worker_threads=1, queue_limit=2)) as channel:
            yield channel

    def test_the_wait_for_a_thread_counts_against_the_deadline(self, channel, slow, calls):
        begin(channel, slow)
        waiting = stub(channel).VerifyStock.future(ASK, timeout=10)
        with pytest.raises(grpc.FutureTimeoutError):
            waiting.result(timeout=1)
        released = time.monotonic()
        slow.release.set()
        waiting.result(timeout=10)
        assert calls[1][1] < released + 10 - 0.5

    def test_a_call_that_was_cancelled_while_it_waited_is_not_made(self, channel, slow, calls):
        begin(channel, slow)
        verify = stub(channel).VerifyStock
        cancelled = verify.future(catalog_pb2.StockCheckRequest(product_id="cancelled", quantity=1))
        cancelled.cancel()
        # One call too many: when it is rejected, the server knows all that was sent before.
        more = [verify.future(ASK) for _ in range(3)]
        rejected = eventually(lambda: finished(more))
        assert rejected[0].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        slow.release.set()
        eventually(lambda: len(finished(more)) == 3)
        assert "cancelled" not in [product for product, _ in calls]


def test_garbage_and_silence_on_many_connections_leave_the_server_serving(build_server):
    noise = random.Random(11)
    server = build_server(lambda _request: available(1))
    with serving(server) as channel, contextlib.ExitStack() as connections:
        for number in range(300):
            opened = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            connections.enter_context(opened)
            with contextlib.suppress(OSError):  # the server may have closed it
                opened.sendall(PREFACE * (number % 3 > 0) + noise.randbytes(number))
        assert stub(channel).VerifyStock(ASK, timeout=10) == available(1)
