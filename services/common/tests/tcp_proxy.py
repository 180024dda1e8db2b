"""A TCP proxy that can freeze: connections stay open, what arrives is acknowledged, no answer."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.05


class Proxy:
    """Forwards each connection to a server until it is frozen."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: dict[socket.socket, socket.socket] = {}
        self._stopping = threading.Event()
        self.frozen = threading.Event()
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        """Forward until `stop`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(POLL_SECONDS):
                    self._serve(selector, key.fileobj)
        for each in (self._listener, *self._peers):
            each.close()

    def stop(self) -> None:
        """Close all connections."""
        self._stopping.set()

    def _serve(self, selector: selectors.DefaultSelector, ready: object) -> None:
        assert isinstance(ready, socket.socket)
        if self.frozen.is_set():
            self._stopping.wait(POLL_SECONDS)
        elif ready is self._listener:
            ends = (self._listener.accept()[0], socket.create_connection(self._server))
            for end, peer in (ends, ends[::-1]):
                self._peers[end] = peer
                selector.register(end, selectors.EVENT_READ)
        elif ready.fileno() != -1 and not self._forward(ready):
            for end in (ready, self._peers[ready]):
                selector.unregister(end)
                end.close()

    def _forward(self, end: socket.socket) -> bool:
        """Forward what arrived; False when an end has closed the connection."""
        try:
            data = end.recv(65_536)
            self._peers[end].sendall(data)
        except OSError:
            return False
        return bool(data)


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    """Run a proxy to a server inside the block."""
    proxy = Proxy(host, port)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
