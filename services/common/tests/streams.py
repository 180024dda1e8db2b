"""Streams without a socket, and with one: a call, a servicer, and what it draws from."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import grpc
from google.api.httpbody_pb2 import HttpBody
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc

from services.common.rpc.server import ServiceBinding
from services.common.rpc.streaming import Context, Handler, StreamingServer
from services.common.rpc.testing import ANONYMOUS, Answer

STREAM = "mamie_rosa.orders.v1.OrderEventsService"
METHOD = f"/{STREAM}/WatchOrder"
WATCH = order_events_pb2.WatchOrderRequest(id="order")
Parts = Callable[[Any, Any], AsyncIterator[HttpBody]]


class StreamCall:
    """A call of a stream; what is written to it is read with `next_part`."""

    def __init__(
        self, metadata: Mapping[str, str] = ANONYMOUS, *, remaining_seconds: float | None = None
    ) -> None:
        self._metadata = tuple(metadata.items())
        self._remaining_seconds = remaining_seconds
        self._parts: asyncio.Queue[Any] = asyncio.Queue()
        self._refusal: Answer | None = None
        self.initial: dict[str, Any] = {}

    def begin(self, handler: Handler, request: Any) -> "StreamCall":
        """Let a handler answer the call, in the background."""
        answering: Any = handler(request, cast(Context, self))
        self._answering: asyncio.Task[None] = asyncio.create_task(answering)
        return self

    async def next_part(self) -> Any:
        """Return the next part that is written; within seconds there must be one."""
        return await asyncio.wait_for(self._parts.get(), 5)

    async def parts(self) -> list[Any]:
        """Return the parts not read yet, as soon as the stream has ended."""
        await asyncio.wait_for(asyncio.wait([self._answering]), 5)
        return [self._parts.get_nowait() for _ in range(self._parts.qsize())]

    async def answer(self) -> Answer:
        """Return how the stream ended, as soon as it has."""
        await asyncio.wait_for(asyncio.wait([self._answering]), 5)
        if self._refusal is None:
            self._answering.result()
        return self._refusal or Answer(grpc.StatusCode.OK, "")

    async def leave(self) -> None:
        """Go away, as a client does."""
        self._answering.cancel()
        await asyncio.wait([self._answering])

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._remaining_seconds

    async def send_initial_metadata(self, metadata) -> None:
        self.initial.update(metadata)

    async def write(self, part: Any) -> None:
        await self._parts.put(part)

    async def abort(self, code, details="", trailing_metadata=()) -> None:
        self._refusal = Answer(code, details, None, dict(trailing_metadata))
        raise grpc.aio.AbortError


class FakeSource:
    """Tells whether it works, and whether it was closed; `closed` is for streams to await."""

    def __init__(self) -> None:
        self.works = False
        self.closed = asyncio.Event()

    async def run(self) -> None:
        self.works = True
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    def close(self) -> None:
        self.closed.set()


class ScriptedStream(order_events_pb2_grpc.OrderEventsServiceServicer):
    """Streams whatever `parts` yields."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def WatchOrder(self, request, context):
        async for part in self._parts(request, context):
            yield part


def scripted(parts: Parts) -> ServiceBinding:
    """Return a service that streams whatever `parts` yields."""
    add = order_events_pb2_grpc.add_OrderEventsServiceServicer_to_server
    return ServiceBinding(STREAM, ScriptedStream(parts), add)


def part(text: str) -> HttpBody:
    return HttpBody(content_type="text/plain", data=text.encode())


@contextmanager
def streaming(server: StreamingServer) -> Iterator[grpc.Channel]:
    """Start a server, yield a channel to it, and stop it."""
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.stop(0)


def watch(channel: grpc.Channel, request=WATCH, metadata: Mapping[str, str] = ANONYMOUS, **how):
    """Begin to watch over a channel; return the call, to be iterated."""
    stub = order_events_pb2_grpc.OrderEventsServiceStub(channel)
    return stub.WatchOrder(request, metadata=tuple(metadata.items()), **({"timeout": 30} | how))
