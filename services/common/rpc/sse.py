"""Server-Sent Events, as they are written on the wire (https://html.spec.whatwg.org, 9.2)."""

import json
from collections.abc import Mapping

CONTENT_TYPE = "text/event-stream"


def event(*, event_id: int, name: str, data: Mapping[str, str]) -> bytes:
    """Return an event; a client that comes back tells the id of the last that it got."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event_id}\nevent: {name}\ndata: {text}\n\n".encode()


def retry(milliseconds: int) -> bytes:
    """Return what tells clients how long to wait before they come back."""
    return f"retry: {milliseconds}\n\n".encode()


def comment(text: str) -> bytes:
    """Return what clients leave unread, but see that the line is alive."""
    return f": {text}\n\n".encode()
