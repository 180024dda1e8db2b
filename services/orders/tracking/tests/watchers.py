"""Clients that watch orders over a socket, hundreds in one process."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress

import grpc
from mamie_rosa.orders.v1 import order_events_pb2, order_events_pb2_grpc

from services.common.rpc.testing import signed_in

Event = tuple[int, str]


class Watcher:
    """One client that watches an order; `events` and `other_frames` are what it received."""

    def __init__(self, channel: grpc.aio.Channel, order_id: str, user_id: str, last: int) -> None:
        metadata = [*signed_in(user_id).items()]
        if last:
            metadata.append(("last-event-id", str(last)))
        request = order_events_pb2.WatchOrderRequest(id=order_id)
        stub = order_events_pb2_grpc.OrderEventsServiceStub(channel)
        self.events: list[Event] = []
        self.other_frames: list[bytes] = []
        self._call = stub.WatchOrder(request, metadata=metadata)
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for part in self._call:
            if part.data.startswith(b"id: "):
                self.events.append(_event(part.data))
            else:
                self.other_frames.append(part.data)
            self._changed.set()

    async def until(self, last: Event) -> None:
        """Return when an event has arrived as the last."""
        async with asyncio.timeout(30):
            while self.events[-1:] != [last]:
                self._changed.clear()
                await self._changed.wait()

    async def end(self) -> None:
        """Return when the server has ended the stream without an error."""
        async with asyncio.timeout(30):
            await self._reading

    async def cancel(self) -> None:
        """Cancel the stream."""
        self._call.cancel()
        with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await self._reading


def _event(frame: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in frame.decode().splitlines() if line)
    return int(fields["id"]), json.loads(fields["data"])["status"]


class WatcherPool:
    """Opens watchers on one server."""

    def __init__(self, port: int, user_id: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._user_id = user_id

    def watch(self, order_id: str, *, last: int = 0) -> Watcher:
        """Watch an order after the event `last`."""
        return Watcher(self._channel, order_id, self._user_id, last)

    async def close(self, watchers: Sequence[Watcher] = ()) -> None:
        """Cancel these streams, and close the connection."""
        for watcher in watchers:
            await watcher.cancel()
        await self._channel.close()
