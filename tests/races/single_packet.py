"""Requests that arrive at the same moment: HTTP/2, and all last frames in one packet.

Each request is sent but for its last byte. Once the server has confirmed that it has all of that,
one write sends the last bytes of all of them, so that no network jitter comes in between (the
single-packet attack, J. Kettle 2023).
"""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

TIMEOUT_SECONDS = 20
READ_BYTES = 65_536
PING = b"all sent"


@dataclass(frozen=True)
class Request:
    """A request; `token` is a bearer token, "" for a visitor."""

    method: str
    path: str
    body: Any = None
    token: str = ""
    key: str = ""


@dataclass
class Answer:
    """An answer; status 0 if its stream was reset."""

    status: int = 0
    data: bytearray = field(default_factory=bytearray)

    @property
    def json(self) -> Any:
        """The body, {} if there is none."""
        return json.loads(self.data) if self.data else {}


def send_at_once(url: str, requests: Sequence[Request]) -> list[Answer]:
    """Send requests, all of which end in one packet; return their answers in the same order."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    with socket.create_connection(address, TIMEOUT_SECONDS) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Volley(connected, parts.netloc).send(requests)


class _Volley:
    def __init__(self, connected: socket.socket, authority: str) -> None:
        self._socket = connected
        self._authority = authority
        self._http = H2Connection()
        self._answers: dict[int, Answer] = {}
        self._open: set[int] = set()

    def send(self, requests: Sequence[Request]) -> list[Answer]:
        self._http.initiate_connection()
        last = [self._begin(request) for request in requests]
        self._http.ping(PING)
        self._flush()
        while not any(isinstance(each, PingAckReceived) for each in self._receive()):
            pass
        for stream, byte in last:
            self._http.send_data(stream, byte, end_stream=True)
        self._flush()
        while self._open:
            self._receive()
        return [self._answers[stream] for stream, _ in last]

    def _begin(self, request: Request) -> tuple[int, bytes]:
        """Send all of a request but its last byte; return the stream and that byte."""
        stream = self._http.get_next_available_stream_id()
        body = json.dumps(request.body).encode() if request.body is not None else b""
        self._http.send_headers(stream, self._headers(request, len(body)))
        if body[:-1]:
            self._http.send_data(stream, body[:-1])
        self._answers[stream] = Answer()
        self._open.add(stream)
        return stream, body[-1:]

    def _headers(self, request: Request, length: int) -> list[tuple[str, str]]:
        headers = {
            ":method": request.method,
            ":scheme": "http",
            ":authority": self._authority,
            ":path": request.path,
        }
        if length:
            headers |= {"content-type": "application/json", "content-length": str(length)}
        if request.token:
            headers["authorization"] = f"Bearer {request.token}"
        if request.key:
            headers["idempotency-key"] = request.key
        return list(headers.items())

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _receive(self) -> Sequence[Event]:
        data = self._socket.recv(READ_BYTES)
        assert data, "the server has closed the connection"
        events = self._http.receive_data(data)
        for event in events:
            self._take(event)
        self._flush()
        return events

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(stream_id=stream, headers=headers):
                self._answers[stream].status = int(dict(headers)[b":status"])
            case DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self._answers[stream].data += data
                self._http.acknowledge_received_data(length, stream)
            case StreamEnded(stream_id=stream) | StreamReset(stream_id=stream):
                self._open.discard(stream)
            case ConnectionTerminated():
                raise AssertionError(f"the server gave up: {event}")
