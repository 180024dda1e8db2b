"""A gRPC-Web client of unary calls, as browsers have it."""

import struct
from dataclasses import dataclass

import httpx
from google.protobuf.message import Message

HEADERS = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}


@dataclass(frozen=True)
class WebAnswer:
    """How a call ended, and the bytes of its message."""

    status: int
    text: str
    message: bytes = b""


def call(client: httpx.Client, path: str, request: Message) -> WebAnswer:
    """Make one call."""
    sent = request.SerializeToString()
    content = struct.pack(">BI", 0, len(sent)) + sent
    answer = client.post(path, content=content, headers=HEADERS)
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    trailers = dict(answer.headers)
    message, body = b"", answer.content
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        frame, body = body[5 : 5 + length], body[5 + length :]
        if flags & 0x80:
            lines = frame.decode().splitlines()
            trailers |= {key: value for key, _, value in (line.partition(":") for line in lines)}
        else:
            message = frame
    return WebAnswer(int(trailers["grpc-status"]), trailers.get("grpc-message", ""), message)
