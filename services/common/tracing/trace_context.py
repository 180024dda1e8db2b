"""The W3C trace context of a call: one header, `traceparent`.

The edge begins every trace and decides whether its spans are recorded: the header's last digit says
so. Services follow it. What is not exactly such a header is dropped, and so are `tracestate` and
`baggage`, which nothing here needs.
"""

import re

HEADER = "traceparent"
FORCE_HEADER = "x-trace"
"""With the value FORCED, this call and all that follows are recorded. The edge lets it through from
administrators alone (envoy/upstream.lua)."""
FORCED = "always"
SAMPLED = "-01"

_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def accept(header: str | None, *, forced: bool = False) -> str | None:
    """Return a valid header with no other flag than "sampled"; None for anything else.

    `forced` sets the flag.
    """
    if header is None or not _VALID.fullmatch(header):
        return None
    if forced or int(header[-2:], 16) & 1:
        return header[:-3] + SAMPLED
    return header[:-2] + "00"


def trace_id_of(header: str) -> str:
    """Return the trace id of a valid header, 32 hex digits."""
    return header[3:35]


def span_id_of(header: str) -> str:
    """Return the span id of a valid header, 16 hex digits."""
    return header[36:52]
