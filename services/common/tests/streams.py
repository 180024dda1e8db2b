"""Helpers for tests of streams: a call without a socket, a scripted servicer, a source."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import grpc
from google.api.httpbody_pb2 import HttpBody
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc
from typing_extensions import override

from services.common.rpc.server import ServiceBinding
from services.common.rpc.streaming import Context, Handler, Source, StreamingServer
from services.common.rpc.testing import ALICE, Answer

STREAM = "mamie_rosa.orders.v1.OrderEventsService"
METHOD = f"/{STREAM}/WatchOrder"
WATCH = order_events_pb2.WatchOrderRequest(id="order")
Parts = Callable[[Any, Any], AsyncIterator[HttpBody]]


class StreamCall:
    """A call of a streaming method; `next_part` reads the messages that are written to it."""

    def __init__(
        self, metadata: Mapping[str, str] = ALICE, *, remaining_seconds: float | None = None
    ) -> None:
        self._metadata = tuple(metadata.items())
        self._remaining_seconds = remaining_seconds
        self._parts: asyncio.Queue[Any] = asyncio.Queue()
        self._error: Answer | None = None
        self.initial: dict[str, Any] = {}

    def begin(self, handler: Handler, request: Any) -> "StreamCall":
        """Start the handler of the call in the background."""
        handling: Any = handler(request, cast(Context, self))
        self._task: asyncio.Task[None] = asyncio.create_task(handling)
        return self

    async def next_part(self) -> Any:
        """Return the next part; fail after 5 s."""
        return await asyncio.wait_for(self._parts.get(), 5)

    async def parts(self) -> list[Any]:
        """Wait for the end of the stream; return the parts that are not read yet."""
        await asyncio.wait_for(asyncio.wait([self._task]), 5)
        return [self._parts.get_nowait() for _ in range(self._parts.qsize())]

    async def answer(self) -> Answer:
        """Wait for the end of the stream; return its outcome."""
        await asyncio.wait_for(asyncio.wait([self._task]), 5)
        if self._error is None:
            self._task.result()
            return Answer(grpc.StatusCode.OK, "")
        assert self._task.exception()
        return self._error

    async def leave(self) -> None:
        """Cancel the call, as a client that disconnects."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._remaining_seconds

    async def send_initial_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        self.initial.update(metadata)

    async def write(self, part: Any) -> None:
        await self._parts.put(part)

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        self._error = Answer(code, details, None, dict(trailing_metadata))
        raise grpc.aio.AbortError


class FakeSource(Source):
    """A source that only records whether it runs; streams can await `closed`."""

    def __init__(self) -> None:
        self.running = False
        self.closed = asyncio.Event()

    @override
    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    @override
    def close(self) -> None:
        self.closed.set()


class ScriptedStream(order_events_pb2_grpc.OrderEventsServiceServicer):
    """Streams what `parts` yields."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @override
    async def WatchOrder(
        self, request: order_events_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        async for part in self._parts(request, context):
            yield part


def scripted(parts: Parts) -> ServiceBinding:
    """Bind a service that streams what `parts` yields."""
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


def watch(channel: grpc.Channel, metadata: Mapping[str, str] = ALICE) -> Any:
    """Call WatchOrder over a channel; return the call, to be iterated."""
    stub = order_events_pb2_grpc.OrderEventsServiceStub(channel)
    return stub.WatchOrder(WATCH, metadata=tuple(metadata.items()), timeout=30)
