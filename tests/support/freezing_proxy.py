"""A TCP proxy of a server that can be frozen, as a stopped process (SIGSTOP) looks to its peers."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit


class FreezingProxy:
    """While it is frozen, connections stay open and are accepted, and no byte passes."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the server, through the proxy."""
        user = self._server.netloc.rpartition("@")[0]
        host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        return urlunsplit(self._server._replace(netloc=f"{user}@{host}" if user else host))

    def freeze(self) -> None:
        """Let nothing pass from now on."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything pass again, also what was sent meanwhile."""
        self._flowing.set()

    def close(self) -> None:
        """Close all connections."""
        self.thaw()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listener.accept()
                back = socket.create_connection((self._server.hostname, self._server.port))
                self._sockets += [front, back]
                for pair in ((front, back), (back, front)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def freezing_proxy(url: str) -> Iterator[FreezingProxy]:
    """Yield a proxy of the server with a URL."""
    proxy = FreezingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
