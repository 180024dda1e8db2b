"""Takes spans over OTLP/HTTP on 4318, and answers on 16686, where the original has its pages."""

import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to whatever is sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take spans."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with nothing."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def serve() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    pages = ThreadingHTTPServer(("0.0.0.0", 16686), Handler)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 4318), Handler).serve_forever()


if __name__ == "__main__":
    serve()
