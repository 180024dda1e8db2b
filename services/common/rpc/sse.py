"""The wire format of Server-Sent Events (https://html.spec.whatwg.org, 9.2)."""

import json
from collections.abc import Mapping

CONTENT_TYPE = "text/event-stream"


def event(*, event_id: int, name: str, data: Mapping[str, str]) -> bytes:
    """Format an event; a client that reconnects sends the id of the last event it received."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event_id}\nevent: {name}\ndata: {text}\n\n".encode()


def retry(milliseconds: int) -> bytes:
    """Format the delay after which clients reconnect."""
    return f"retry: {milliseconds}\n\n".encode()


def comment(text: str) -> bytes:
    """Format a comment; clients ignore it, but it keeps the connection alive."""
    return f": {text}\n\n".encode()
