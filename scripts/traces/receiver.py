"""Receives spans over OTLP/HTTP (protobuf) and stores them: POST /v1/traces.

What it has stored, it shows as JSON (scripts/traces/reading.py).

`python -m scripts.traces.receiver FOLDER PORT`
"""

import gzip
import json
import signal
import sys
import threading
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from scripts.traces import reading
from scripts.traces.otlp import MalformedRequestError, decode
from scripts.traces.store import TraceStore

PATH = "/v1/traces"
MAX_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 1024
CONNECTION_TIMEOUT_SECONDS = 60


class RejectedError(Exception):
    """A request that is not stored."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Receiver(ThreadingHTTPServer):
    """Serves on a port of this machine; with port 0 on any free one."""

    daemon_threads = True

    def __init__(self, store: TraceStore, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.store = store

    @override
    def handle_error(self, *_: Any) -> None:
        """Ignore a sender that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = CONNECTION_TIMEOUT_SECONDS
    server: Receiver

    def do_GET(self) -> None:
        """Show stored traces."""
        found = reading.answer(self.server.store.folder, self.path)
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, "application/json", json.dumps(found).encode())

    def do_POST(self) -> None:
        """Store the spans of a request."""
        try:
            self.server.store.add(decode(self._read()))
        except RejectedError as error:
            self._answer(error.status)
        except MalformedRequestError:
            self._answer(HTTPStatus.BAD_REQUEST)
        else:
            self._answer(HTTPStatus.OK)

    def _read(self) -> bytes:
        """Return the body of a request, decompressed; RejectedError."""
        is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        body = self._read_chunks() if is_chunked else self._read_whole()
        if self.path != PATH:
            raise RejectedError(HTTPStatus.NOT_FOUND)
        if self.headers.get("content-encoding") != "gzip":
            return body
        try:
            return gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as error:
            raise RejectedError(HTTPStatus.BAD_REQUEST) from error

    def _read_whole(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            raise RejectedError(HTTPStatus.LENGTH_REQUIRED)
        return self._read_bytes(int(length))

    def _read_chunks(self) -> bytes:
        """Read a body in chunks (RFC 9112, 7.1), as Envoy sends them."""
        body = b""
        while size := self._read_chunk_size():
            body += self._read_bytes(size, MAX_BYTES - len(body))
            self.rfile.readline(MAX_LINE_BYTES)
        while self.rfile.readline(MAX_LINE_BYTES).strip():
            pass  # trailers
        return body

    def _read_chunk_size(self) -> int:
        line = self.rfile.readline(MAX_LINE_BYTES).partition(b";")[0].strip()
        try:
            return int(line, 16)
        except ValueError as error:
            raise RejectedError(HTTPStatus.BAD_REQUEST) from error

    def _read_bytes(self, size: int, limit: int = MAX_BYTES) -> bytes:
        if not 0 <= size <= limit:
            raise RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return self.rfile.read(size)

    def _answer(
        self, status: HTTPStatus, content_type: str = "application/x-protobuf", body: bytes = b""
    ) -> None:
        """Answer; an empty body is an ExportTraceServiceResponse without a complaint."""
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        if status is not HTTPStatus.OK:
            self.close_connection = True
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: there are several requests a second."""


def main() -> None:
    """Receive spans until a signal stops the process."""
    folder, port = sys.argv[1:]
    store = TraceStore(Path(folder))
    receiver = Receiver(store, int(port))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    stopping.wait()
    receiver.shutdown()
    store.close()


if __name__ == "__main__":
    main()
