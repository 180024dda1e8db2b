"""Counts the bytes that calls put on the wire, in both directions, by a proxy in between."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from scripts.benchmarks.caller import Load
from scripts.benchmarks.contenders import Contender, call

CHUNK = 65_536


class CountingProxy:
    """Passes TCP connections on to a server and counts what passes; without TCP's own headers."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either side ends it."""
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass(reader, server_writer), self._pass(server_reader, writer)
            )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self.count += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


def bytes_per_call(contenders: Sequence[Contender], seconds: float) -> Mapping[str, float]:
    """Return the bytes of a call, by contender: one caller's, with its connection's share."""
    found = {}
    for contender in contenders:
        with _counted(contender.load) as (load, proxy):
            result = call(replace(load, callers=1, seconds=seconds))
            found[contender.name] = proxy.count / result.calls
    return found


@contextmanager
def _counted(load: Load) -> Iterator[tuple[Load, CountingProxy]]:
    """Yield a load that goes through a proxy, and the proxy."""
    address = urlsplit(load.target if "://" in load.target else f"grpc://{load.target}")
    assert address.hostname
    assert address.port
    proxy = CountingProxy(address.hostname, address.port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        starting = asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result()
        own = server.sockets[0].getsockname()[1]
        yield replace(load, target=load.target.replace(str(address.port), str(own))), proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
