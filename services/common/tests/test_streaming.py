"""A server of streams, with and without a socket."""

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
from services.common.rpc.testing import ALICE
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
from tests.waiting import eventually


class ShortError(UnprocessableError):
    reason = "SHORT"


def answering(behavior, metadata=None, request=WATCH):
    """Return how a stream that behaves so ends, and what it wrote."""

    async def call():
        begun = StreamCall(metadata or {}).begin(with_interceptors(behavior, METHOD), request)
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


class TestAroundAStream:
    def test_its_parts_pass_as_they_are(self):
        answer, parts = answering(two)
        assert (answer.code, parts) == (grpc.StatusCode.OK, [part("1"), part("2")])

    def test_an_error_of_ours_ends_it_with_its_reason(self):
        answer, parts = answering(failing)
        assert (answer.code, answer.http) == (grpc.StatusCode.FAILED_PRECONDITION, 422)
        assert (answer.reason, answer.facts, parts) == ("SHORT", {"productIds": "a"}, [part("1")])

    def test_a_bug_ends_it_without_its_text(self, log):
        answer, _ = answering(crashing, {"x-request-id": "request-1"})
        assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert answer.facts == {"requestId": "request-1"}
        assert "secret" not in answer.text
        assert [entry["event"] for entry in log] == ["call_crashed", "stream_ended"]

    def test_a_request_that_breaks_the_rules_never_reaches_the_servicer(self):
        answer, _ = answering(crashing, request=order_events_pb2.WatchOrderRequest(id=""))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")

    def test_the_caller_is_known_from_the_first_part_to_the_last(self):
        async def naming(_request, _context):
            for _ in range(2):
                yield part(authorization.require_user().user_id)
                await asyncio.sleep(0)

        _, parts = answering(naming, ALICE)
        assert parts == [part(ALICE["x-user-id"])] * 2

    def test_its_end_is_logged_once(self, log):
        answering(failing)
        (line,) = log
        assert (line["event"], line["outcome"]) == ("stream_ended", "FAILED_PRECONDITION")
        assert line["method"] == METHOD

    def test_a_client_that_leaves_ends_the_servicers_work_in_the_calls_own_context(self, log):
        ended = []

        async def endless(_request, _context):
            try:
                yield part("1")
                await asyncio.Event().wait()
            finally:
                ended.append(context.current().request_id)

        async def call():
            begun = StreamCall({"x-request-id": "r"}).begin(
                with_interceptors(endless, METHOD), WATCH
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
                bindings=[scripted(parts)], source=source, host="127.0.0.1", **options
            )

        return build

    @pytest.fixture
    def until_closed(self, source):
        async def parts(_request, _context):
            yield part("1")
            await source.closed.wait()
            yield part("2")

        return parts

    def test_parts_arrive_as_they_are_made(self, build, until_closed, source):
        server = build(until_closed)
        with streaming(server) as channel:
            call = watch(channel)
            assert next(call) == part("1")
            server._loop.call_soon_threadsafe(source.close)
            assert list(call) == [part("2")]

    def test_an_error_arrives_with_its_reason_its_facts_and_its_http_status(self, build):
        with streaming(build(failing)) as channel, pytest.raises(grpc.RpcError) as caught:
            list(watch(channel))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert read_status(caught.value) == ("SHORT", {"productIds": "a"})
        assert (HTTP_CODE, "422") in caught.value.trailing_metadata()

    def test_a_bug_arrives_without_its_text(self, build):
        with streaming(build(crashing)) as channel, pytest.raises(grpc.RpcError) as caught:
            list(watch(channel))
        assert read_status(caught.value)[0] == "INTERNAL"
        assert "secret" not in repr(caught.value)

    def test_hundreds_of_streams_take_no_thread_each(self, build, until_closed):
        with streaming(build(until_closed)) as channel:
            assert next(watch(channel)) == part("1")
            before = threading.active_count()
            calls = [watch(channel) for _ in range(200)]
            assert [next(call) for call in calls] == [part("1")] * 200
            assert threading.active_count() <= before
            for call in calls:
                call.cancel()

    def test_beyond_the_limit_streams_are_refused_until_others_end(self, build, until_closed):
        with streaming(build(until_closed, stream_limit=1)) as channel:
            first = watch(channel)
            next(first)
            with pytest.raises(grpc.RpcError) as caught:
                next(watch(channel))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert read_status(caught.value)[0] == "OVERLOADED"
            first.cancel()
            assert eventually(lambda: is_admitted(channel))

    def test_the_source_works_from_start_to_end(self, build, source):
        with streaming(build(two)) as channel:
            list(watch(channel))
            assert source.works
        assert not source.works

    def test_a_graceful_stop_lets_the_streams_end_by_themselves(self, build, until_closed):
        server = build(until_closed)
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            calls = [watch(channel) for _ in range(20)]
            assert [next(call) for call in calls] == [part("1")] * 20
            with ThreadPoolExecutor(1) as stopper:
                stopped = stopper.submit(server.stop, 30)
                assert [list(call) for call in calls] == [[part("2")]] * 20
                stopped.result(timeout=10)

    def test_a_stream_that_does_not_end_is_cut_off(self, build):
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

    def test_its_health_is_what_a_monitor_says(self, build):
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
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            (answer,) = reflection.ServerReflectionInfo(asked, timeout=5)
        assert {service.name for service in answer.list_services_response.service} == {
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
    def test_a_stream_is_not_let_onto_the_server_for_unary_methods(self):
        with pytest.raises(WrongServerError, match="has stream methods"):
            GrpcServer(
                bindings=[scripted(two)],
                host="127.0.0.1",
                port=0,
                worker_threads=1,
                queue_limit=1,
            )

    def test_a_unary_method_is_not_let_onto_the_server_for_streams(self):
        add = catalog_pb2_grpc.add_CatalogServiceServicer_to_server
        unary = ServiceBinding(SERVICE, ScriptedServicer(lambda _request: available(1)), add)
        with pytest.raises(WrongServerError, match="has unary methods"):
            StreamingServer(bindings=[unary], source=FakeSource(), host="127.0.0.1")
