"""The server for methods that stream to many clients at once, and for long.

A thread for each of hundreds of clients who mostly wait would be a waste: here they share
one, with an asyncio loop on it. A process has one such loop at most (grpc.aio bears no
second). What is around every call (services.common.rpc.interceptors) is around every stream:
context, log, errors and validation; a servicer's method is an async generator.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeVar

import grpc
import structlog
from google.protobuf import message
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.errors import MamieRosaError
from services.common.rpc.admission import OVERLOADED
from services.common.rpc.interceptors import (
    SERVICE_PATH_PREFIX,
    Refusal,
    call_context,
    crash,
    refusal,
)
from services.common.rpc.server import OPTIONS, ServiceBinding, listen, require_shape
from services.common.rpc.validation import validate

Context = grpc.aio.ServicerContext
Behavior = Callable[[Any, Context], AsyncGenerator[message.Message, None]]
Handler = Callable[[Any, Context], Awaitable[None]]
Result = TypeVar("Result")

STREAM_LIMIT = 2_000

log = structlog.get_logger()


class Source(Protocol):
    """What the streams of a server draw from; it lives on the server's loop."""

    async def run(self) -> None:
        """Work until cancelled; then let go of everything."""

    def close(self) -> None:
        """Let the streams that are open come to their end."""


class StreamingServer:
    """A gRPC server for streams, with what `services.common.rpc.server.GrpcServer` has.

    `port` 0 takes any free port; `port` then tells which. CannotListenError when the port
    is taken. Beyond `stream_limit` open streams, others are refused.
    """

    def __init__(
        self,
        *,
        bindings: Sequence[ServiceBinding],
        source: Source,
        host: str,
        port: int = 0,
        stream_limit: int = STREAM_LIMIT,
    ) -> None:
        require_shape(bindings, "stream")
        self.names = [binding.name for binding in bindings]
        self._source = source
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)
        self._thread.start()
        self.health = _LoopHealth(self._call)
        try:
            self._server, self.port = self._call(self._build(bindings, host, port, stream_limit))
        except BaseException:
            self._end_loop()
            raise

    def start(self) -> None:
        """Begin to answer."""
        self._call(self._start())

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls and let the streams end, at most `grace_seconds` long."""
        self._call(self._stop(grace_seconds))
        self._end_loop()

    async def _build(
        self, bindings: Sequence[ServiceBinding], host: str, port: int, stream_limit: int
    ) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(
            interceptors=[StreamGuard(limit=stream_limit)], options=tuple(OPTIONS.items())
        )
        for binding in bindings:
            binding.add_to_server(binding.servicer, server)  # type: ignore[arg-type]
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        reflection.enable_server_reflection(
            (*self.names, "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )
        return server, listen(server, host, port)

    async def _start(self) -> None:
        self._drawing = asyncio.create_task(self._source.run())
        await self._server.start()

    async def _stop(self, grace_seconds: float) -> None:
        self._source.close()
        await self._server.stop(grace_seconds)
        self._drawing.cancel()
        with suppress(asyncio.CancelledError):
            await self._drawing
        await self._loop.shutdown_default_executor()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something on the loop, and return what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _LoopHealth:
    """The health of a streaming server, for a monitor on a thread of its own."""

    def __init__(self, call: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._call = call
        self._is_over = False

    def set(self, service: str, status: int) -> None:
        """Publish the state of a service."""
        if not self._is_over:
            self._call(self.servicer.set(service, status))

    def enter_graceful_shutdown(self) -> None:
        """Publish NOT_SERVING for good."""
        self._is_over = True
        self._call(self.servicer.enter_graceful_shutdown())


class StreamGuard(grpc.aio.ServerInterceptor):
    """Guards every stream of this project's services, and refuses those beyond a limit."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._open = 0

    async def intercept_service(self, continuation, handler_call_details):
        """Return the method's handler inside the interceptors; foreign methods pass as they are."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(SERVICE_PATH_PREFIX):
            return handler
        return grpc.unary_stream_rpc_method_handler(
            self._admitted(with_interceptors(handler.unary_stream, method)),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _admitted(self, handler: Handler) -> Handler:
        async def answer(request: message.Message, context: Context) -> None:
            if self._open >= self._limit:
                await abort(context, Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED))
            self._open += 1
            try:
                await handler(request, context)
            finally:
                self._open -= 1

        return answer


def with_interceptors(behavior: Behavior, method: str) -> Handler:
    """Return a streaming behaviour with everything around it that every call has.

    The stream is logged once, when it is over, whoever ended it.
    """

    async def answer(request: message.Message, context: Context) -> None:
        started, outcome = time.monotonic(), "CANCELLED"
        with call_context(method, request, context):
            try:
                refused = await _stream(behavior, method, request, context)
                outcome = refused.code.name if refused else "OK"
            finally:
                elapsed = round(time.monotonic() - started, 1)
                log.info("stream_ended", method=method, outcome=outcome, elapsed_seconds=elapsed)
            if refused:
                await abort(context, refused)

    return answer


async def _stream(
    behavior: Behavior, method: str, request: message.Message, context: Context
) -> Refusal | None:
    """Write what the servicer yields; return the refusal that its error becomes."""
    try:
        validate(request)
        # Closed here and now: left to the garbage collector, it would end in another context.
        async with aclosing(behavior(request, context)) as parts:
            async for part in parts:
                await context.write(part)
    except MamieRosaError as error:
        return refusal(error)
    except grpc.aio.BaseError:  # the client is gone
        raise
    except Exception:
        log.exception("call_crashed", method=method)
        return crash()
    return None


async def abort(context: Context, refused: Refusal) -> None:
    """End the stream with a status."""
    code, details, _ = refused
    await context.abort(code, details.message, refused.trailing_metadata)
