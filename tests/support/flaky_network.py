"""A network between an app and the shop that loses answers, cuts connections and goes down."""

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class FlakyNetwork:
    """Forwards connections to a URL of this machine; `url` is the app's way in."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname and parts.port
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._answers_to_lose = 0
        self.is_down = False
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()

    def lose_answers(self, count: int) -> None:
        """Cut the next connections when their answers begin: the shop has acted, nobody knows."""
        with self._lock:
            self._answers_to_lose = count

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                app, _ = self._listener.accept()
            except OSError:
                return
            if self.is_down:
                app.close()
            else:
                threading.Thread(target=self._forward, args=(app,), daemon=True).start()

    def _forward(self, app: socket.socket) -> None:
        with app, socket.create_connection(self._target) as shop:
            with self._lock:
                self._open |= {app, shop}
            requests = threading.Thread(target=self._copy, args=(app, shop), daemon=True)
            requests.start()
            self._copy(shop, app, is_answer=True)
            requests.join()
            with self._lock:
                self._open -= {app, shop}

    def _copy(self, source: socket.socket, sink: socket.socket, *, is_answer: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self._is_lost():
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _is_lost(self) -> bool:
        with self._lock:
            lost = self._answers_to_lose > 0
            self._answers_to_lose -= lost
            return lost
