"""The streaming server, with and without a socket."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mamie_rosa import catalog_pb2_grpc
from mamie_rosa.orders.v1 import order_events_pb2

from services.common import context
from services.common.errors import UnprocessableError
from services.common.rpc import authorization
from services.common.rpc.health import NOT_SERVING, SERVING, HealthMonitor
from services.common.rpc.server import (
    CannotListenError,
    GrpcServer,
    ServiceBinding,
    WrongServerError,
)
from services.common.rpc.status import HTTP_CODE, read_status
from services.common.rpc.streaming import StreamingServer, with_interceptors
from services.common.rpc.testing import ALICE, ALICE_ID, TOKENS
from services.common.tests.fakes import SERVICE, ScriptedServicer, available, build_server, serving
from services.common.tests.streams import (
    METHOD,
    STREAM,
    WATCH,
    FakeSource,
    StreamCall,
    part,
    scripted,
    streaming,
    watch,
)
from tests.support.waiting import eventually


class ShortError(UnprocessableError):
    reason = "SHORT"


def run_stream(behavior, metadata=None, request=WATCH):
    """Run a stream to its end; return its outcome and its parts."""

    async def call():
        handler = with_interceptors(behavior, METHOD, TOKENS)
        begun = StreamCall(ALICE if metadata is None else metadata).begin(handler, request)
        return await begun.answer(), await begun.parts()

    return asyncio.run(call())


async def two(_request, _context):
    yield part("1")
    yield part("2")


async def failing(_request, _context):
    yield part("1")
    raise ShortError("Too few.", productIds="a")


async def crashing(_request, _context):
    raise RuntimeError("password=secret at db-1")
    yield


class TestInterceptors:
    def test_parts_are_written_unchanged(self):
        answer, parts = run_stream(two)
        assert (answer.code, parts) == (grpc.StatusCode.OK, [part("1"), part("2")])

    def test_an_error_ends_the_stream_with_its_reason(self):
        answer, parts = run_stream(failing)
        assert (answer.code, answer.http) == (grpc.StatusCode.FAILED_PRECONDITION, 422)
        assert (answer.reason, answer.facts, parts) == ("SHORT", {"productIds": "a"}, [part("1")])

    def test_an_unexpected_exception_ends_the_stream_without_its_text(self, log):
        answer, _ = run_stream(crashing, {**ALICE, "x-request-id": "request-1"})
        assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert answer.facts == {"requestId": "request-1"}
        assert "secret" not in answer.text
        assert [entry["event"] for entry in log] == ["call_crashed", "stream_ended"]

    def test_an_invalid_request_does_not_reach_the_servicer(self):
        answer, _ = run_stream(crashing, request=order_events_pb2.WatchOrderRequest(id=""))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")

    def test_what_people_typed_is_normalised_as_in_every_public_request(self):
        async def naming(request, _context):
            yield part(request.id)

        blanks = order_events_pb2.WatchOrderRequest(id=" e\u0301 ")
        _, parts = run_stream(naming, request=blanks)
        assert parts == [part("\u00e9")]
        answer, _ = run_stream(crashing, request=order_events_pb2.WatchOrderRequest(id="\x85"))
        assert answer.reason == "INVALID_FIELDS"

    def test_the_caller_is_in_the_context_until_the_last_part(self):
        async def naming(_request, _context):
            for _ in range(2):
                yield part(authorization.require_user().user_id)
                await asyncio.sleep(0)

        _, parts = run_stream(naming, ALICE)
        assert parts == [part(ALICE_ID)] * 2

    def test_the_end_of_a_stream_is_logged_once(self, log):
        run_stream(failing)
        (line,) = log
        assert (line["event"], line["outcome"]) == ("stream_ended", "FAILED_PRECONDITION")
        assert line["method"] == METHOD

    def test_a_disconnect_closes_the_generator_in_the_context_of_the_call(self, log):
        ended = []

        async def endless(_request, _context):
            try:
                yield part("1")
                await asyncio.Event().wait()
            finally:
                ended.append(context.current().request_id)

        async def call():
            begun = StreamCall({**ALICE, "x-request-id": "r"}).begin(
                with_interceptors(endless, METHOD, TOKENS), WATCH
            )
            await begun.next_part()
            await begun.leave()

        asyncio.run(call())
        assert ended == ["r"]
        assert [line["outcome"] for line in log] == ["CANCELLED"]


@pytest.mark.integration
class TestOnASocket:
    @pytest.fixture
    def source(self):
        return FakeSource()

    @pytest.fixture
    def build(self, source):
        def build(parts, **options):
            return StreamingServer(
                bindings=[scripted(parts)],
                source=source,
                host="127.0.0.1",
                tokens=TOKENS,
                **options,
            )

        return build

    @pytest.fixture
    def until_closed(self, source):
        async def parts(_request, _context):
            yield part("1")
            await source.closed.wait()
            yield part("2")

        return parts

    def test_parts_arrive_when_they_are_yielded(self, build, until_closed, source):
        server = build(until_closed)
        with streaming(server) as channel:
            call = watch(channel)
            assert next(call) == part("1")
            server._loop.call_soon_threadsafe(source.close)
            assert list(call) == [part("2")]

    def test_an_error_arrives_with_its_reason_metadata_and_http_status(self, build):
        with streaming(build(failing)) as channel, pytest.raises(grpc.RpcError) as caught:
            list(watch(channel))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert read_status(caught.value) == ("SHORT", {"productIds": "a"})
        assert (HTTP_CODE, "422") in caught.value.trailing_metadata()

    def test_an_unexpected_exception_arrives_without_its_text(self, build):
        with streaming(build(crashing)) as channel, pytest.raises(grpc.RpcError) as caught:
            list(watch(channel))
        assert read_status(caught.value)[0] == "INTERNAL"
        assert "secret" not in repr(caught.value)

    def test_streams_share_one_thread(self, build, until_closed):
        with streaming(build(until_closed)) as channel:
            assert next(watch(channel)) == part("1")
            before = threading.active_count()
            calls = [watch(channel) for _ in range(200)]
            assert [next(call) for call in calls] == [part("1")] * 200
            assert threading.active_count() <= before
            for call in calls:
                call.cancel()

    def test_streams_beyond_the_limit_are_rejected_until_one_ends(self, build, until_closed):
        with streaming(build(until_closed, stream_limit=1)) as channel:
            first = watch(channel)
            next(first)
            with pytest.raises(grpc.RpcError) as caught:
                next(watch(channel))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert read_status(caught.value)[0] == "OVERLOADED"
            first.cancel()
            assert eventually(lambda: is_admitted(channel))

    def test_the_source_runs_from_start_to_stop(self, build, source):
        with streaming(build(two)) as channel:
            list(watch(channel))
            assert source.running
        assert not source.running

    def test_a_graceful_stop_lets_the_streams_end(self, build, until_closed):
        server = build(until_closed)
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            calls = [watch(channel) for _ in range(20)]
            assert [next(call) for call in calls] == [part("1")] * 20
            with ThreadPoolExecutor(1) as stopper:
                stopped = stopper.submit(server.stop, 30)
                assert [list(call) for call in calls] == [[part("2")]] * 20
                stopped.result(timeout=10)

    def test_a_stream_that_does_not_end_is_cancelled(self, build):
        async def endless(_request, _context):
            yield part("1")
            await asyncio.Event().wait()

        server = build(endless)
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = watch(channel)
            next(call)
            server.stop(0)
            with pytest.raises(grpc.RpcError):
                next(call)

    def test_its_health_is_set_by_a_monitor(self, build):
        server = build(two)
        monitor = HealthMonitor(servicer=server.health, names=server.names, checks={})
        with streaming(server) as channel:
            monitor.check_once()
            assert [health(channel, name) for name in ("", STREAM)] == [SERVING, SERVING]
            monitor.drain()
            monitor.check_once()
            assert [health(channel, name) for name in ("", STREAM)] == [NOT_SERVING, NOT_SERVING]

    def test_reflection_lists_all_services(self, build):
        with streaming(build(two)) as channel:
            requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            (response,) = reflection.ServerReflectionInfo(requests, timeout=5)
        assert {service.name for service in response.list_services_response.service} == {
            STREAM,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }

    def test_a_port_that_is_taken_is_named(self, build):
        first = build_server(lambda _request: available(1))
        with serving(first), pytest.raises(CannotListenError, match=f"127.0.0.1:{first.port}"):
            build(two, port=first.port)


def is_admitted(channel):
    call = watch(channel)
    try:
        return next(call) == part("1")
    except grpc.RpcError:
        return False
    finally:
        call.cancel()


def health(channel, service=""):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


class TestWrongServer:
    def test_the_server_for_unary_methods_rejects_a_streaming_service(self):
        with pytest.raises(WrongServerError, match="has stream methods"):
            GrpcServer(
                bindings=[scripted(two)],
                host="127.0.0.1",
                port=0,
                worker_threads=1,
                queue_limit=1,
            )

    def test_the_streaming_server_rejects_a_unary_service(self):
        add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
        unary = ServiceBinding(SERVICE, ScriptedServicer(lambda _request: available(1)), add)
        with pytest.raises(WrongServerError, match="has unary methods"):
            StreamingServer(bindings=[unary], source=FakeSource(), host="127.0.0.1")
