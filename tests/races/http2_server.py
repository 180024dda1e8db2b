"""Serves a function over HTTP/2 without TLS; all requests run at once."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

Handle = Callable[[str, str, Any, str, str], Awaitable[tuple[int, Any]]]
"""Given method, path, body, bearer token and Idempotency-Key, returns a status and a body."""


class Http2(asyncio.Protocol):
    """A connection."""

    def __init__(self, handle: Handle, connections: set["Http2"]) -> None:
        self._handle = handle
        self._connections = connections
        self._http = H2Connection(H2Configuration(False, header_encoding="utf-8"))
        self._requests: dict[int, tuple[dict[Any, Any], bytearray]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Begin to answer each request that has ended."""
        for event in self._http.receive_data(data):
            if isinstance(event, RequestReceived):
                self._requests[event.stream_id] = (dict(event.headers), bytearray())
            elif isinstance(event, DataReceived):
                self._requests[event.stream_id][1].extend(event.data)
            elif isinstance(event, StreamEnded):
                task = asyncio.create_task(self._answer(event.stream_id))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self.transport.write(self._http.data_to_send())

    async def _answer(self, stream: int) -> None:
        headers, body = self._requests.pop(stream)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        key = headers.get("idempotency-key", "")
        request = (headers[":method"], headers[":path"], json.loads(body or b"{}"))
        status, reply = await self._handle(*request, token, key)
        self._http.send_headers(stream, [(":status", str(status))])
        self._http.send_data(stream, json.dumps(reply).encode(), end_stream=True)
        self.transport.write(self._http.data_to_send())


@contextmanager
def serving(handle: Handle) -> Iterator[str]:
    """Yield the URL of a server on a thread of its own."""
    loop, connections = asyncio.new_event_loop(), set[Http2]()
    listening = loop.create_server(lambda: Http2(handle, connections), "127.0.0.1", 0)
    server = loop.run_until_complete(listening)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_close(server, connections))
        loop.close()


async def _close(server: asyncio.Server, connections: set[Http2]) -> None:
    """Close what is open, and await what is in progress."""
    server.close()
    for each in list(connections):
        each.transport.abort()
    current = asyncio.current_task()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not current))
