"""The gRPC server for server-streaming methods.

A thread for each of hundreds of clients that mostly wait would be a waste: all streams share
one thread with an asyncio loop. A process has at most one such loop (grpc.aio does not support
a second). Streams have the same interceptors as unary calls (services.common.rpc.interceptors):
context, log, errors, access and validation. A servicer's method is an async generator. A stream
outlives no token: its deadline is the end of its caller's, at the latest.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar, cast

import grpc
import structlog
from google.protobuf import message
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from typing_extensions import override

from services.common.context import CallContext, current, use
from services.common.metrics.calls import STREAMS
from services.common.rpc.access import AccessGuard, is_guarded
from services.common.rpc.admission import OVERLOADED
from services.common.rpc.health import HealthPublisher
from services.common.rpc.interceptors import (
    SERVICE_PATH_PREFIX,
    ErrorResponse,
    read_call_context,
    request_check,
    translate,
)
from services.common.rpc.server import (
    OPTIONS,
    ServiceBinding,
    listen,
    require_kind,
    require_verifier,
)
from services.common.rpc.tokens import TokenVerifier

Context = grpc.aio.ServicerContext
Behavior = Callable[[Any, Context], AsyncGenerator[message.Message, None]]
"""A streaming method of a servicer."""
Handler = Callable[[Any, Context], Awaitable[None]]
"""A streaming method that writes its messages itself."""
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]]
"""Returns the handler of a method; None when no service has the method."""
Result = TypeVar("Result")

STREAM_LIMIT = 2_000
SOURCE_DELAY_SECONDS = 1.0

admissions = ThreadPoolExecutor(1, "admissions")
"""Where tokens are verified: the keys may have to be fetched."""

log = structlog.get_logger()


class Source(Protocol):
    """Feeds the streams of a server; it runs on the server's loop."""

    async def run(self) -> None:
        """Run until cancelled; then release all resources."""

    def close(self) -> None:
        """Let the open streams end."""


async def run_forever(source: Source, *, delay_seconds: float = SOURCE_DELAY_SECONDS) -> None:
    """Run a source again whenever it ends; only a cancellation ends it for good."""
    while True:
        try:
            await source.run()
        except Exception:
            log.exception("worker_failed", worker="stream-source")
        await asyncio.sleep(delay_seconds)


class StreamingServer:
    """A gRPC server for streams, with the interface of GrpcServer.

    With `port` 0 the server chooses a free port; the attribute `port` is the actual one.
    CannotListenError when the port is taken. More than `stream_limit` open streams are rejected.
    """

    def __init__(
        self,
        *,
        bindings: Sequence[ServiceBinding],
        source: Source,
        host: str,
        port: int = 0,
        stream_limit: int = STREAM_LIMIT,
        tokens: TokenVerifier | None = None,
    ) -> None:
        require_kind(bindings, "stream")
        require_verifier(bindings, tokens)
        self.names = [binding.name for binding in bindings]
        self._source = source
        self._interceptor = StreamInterceptor(limit=stream_limit, tokens=tokens)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)
        self._thread.start()
        self.health = _LoopHealth(self._call)
        try:
            self._server, self.port = self._call(self._build(bindings, host, port))
        except BaseException:
            self._end_loop()
            raise

    def start(self) -> None:
        """Start to serve."""
        self._call(self._start())

    def stop(self, grace_seconds: float) -> None:
        """Accept no more calls; let the streams end, and cancel them after `grace_seconds`."""
        self._call(self._stop(grace_seconds))
        self._end_loop()

    async def _build(
        self, bindings: Sequence[ServiceBinding], host: str, port: int
    ) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(interceptors=[self._interceptor], options=tuple(OPTIONS.items()))
        for binding in bindings:
            binding.add_to_server(binding.servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        reflection.enable_server_reflection(
            (*self.names, "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )
        return server, listen(server, host, port)

    async def _start(self) -> None:
        self._source_task = asyncio.create_task(run_forever(self._source))
        await self._server.start()

    async def _stop(self, grace_seconds: float) -> None:
        self._source.close()
        await self._server.stop(grace_seconds)
        self._source_task.cancel()
        with suppress(asyncio.CancelledError):
            await self._source_task
        await self._loop.shutdown_default_executor()

    def _call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _LoopHealth(HealthPublisher):
    """The health of a streaming server, for a monitor in another thread."""

    def __init__(self, call: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._call = call
        self._draining = False

    @override
    def set(self, service: str, status: Any) -> None:
        if not self._draining:
            self._call(self.servicer.set(service, status))

    @override
    def enter_graceful_shutdown(self) -> None:
        self._draining = True
        self._call(self.servicer.enter_graceful_shutdown())


class StreamInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every stream of this project's services, and rejects those beyond a limit."""

    def __init__(self, *, limit: int, tokens: TokenVerifier | None = None) -> None:
        self._limit = limit
        self._tokens = tokens
        self._open = 0

    @override
    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(SERVICE_PATH_PREFIX):
            return handler
        behavior = cast(Behavior, handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(
            self._limited(with_interceptors(behavior, method, self._tokens)),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _limited(self, handler: Handler) -> Handler:
        async def handle(request: message.Message, context: Context) -> None:
            if self._open >= self._limit:
                await abort(context, OVERLOADED)
            self._open += 1
            try:
                with STREAMS.track_inprogress():
                    await handler(request, context)
            finally:
                self._open -= 1

        return handle


def with_interceptors(
    behavior: Behavior, method: str, tokens: TokenVerifier | None = None
) -> Handler:
    """Wrap a streaming method in context, log, errors, access and validation.

    The stream is logged once, at its end, also when the client ended it. NoVerifierError for a
    guarded method without `tokens`.
    """
    guard = AccessGuard(method, tokens) if is_guarded(method) else None
    check = request_check(method)

    async def handle(request: message.Message, context: Context) -> None:
        started, outcome = time.monotonic(), "CANCELLED"
        with use(read_call_context(context, started)):
            try:
                error = await _stream(
                    behavior, request, context, method=method, guard=guard, check=check
                )
                outcome = error.code.name if error else "OK"
            finally:
                elapsed = round(time.monotonic() - started, 1)
                log.info("stream_ended", method=method, outcome=outcome, elapsed_seconds=elapsed)
            if error:
                await abort(context, error)

    return handle


async def _stream(
    behavior: Behavior,
    request: message.Message,
    context: Context,
    *,
    method: str,
    guard: AccessGuard | None,
    check: Callable[[message.Message], None],
) -> ErrorResponse | None:
    """Write the messages that the servicer yields; translate the error that it raises."""
    try:
        with use(await _admit(guard, context)):
            check(request)
            # Closed here explicitly: the garbage collector would close it in another context.
            async with aclosing(behavior(request, context)) as parts:
                async for part in parts:
                    await context.write(part)
    except grpc.aio.BaseError:  # the client has disconnected
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a status
        return translate(error, method)
    return None


async def _admit(guard: AccessGuard | None, context: Context) -> CallContext:
    """Return the call's context, with the caller and the end of their token if one is needed."""
    if not guard:
        return current()
    admit = partial(copy_context().run, guard.admit, context)
    call = await asyncio.get_running_loop().run_in_executor(admissions, admit)
    ends = [end for end in (call.deadline, call.authorized_until) if end is not None]
    return replace(call, deadline=min(ends))


async def abort(context: Context, response: ErrorResponse) -> NoReturn:
    """End the stream with an error."""
    await context.abort(response.code, response.status.message, response.trailing_metadata)
