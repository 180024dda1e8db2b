"""Spans: what a call did, from when to when, as part of which other one.

    Envoy -> server span -> client span -> server span of the upstream -> store span ...

The trace context of the current call (services.common.context) says whether it is recorded. If it
is not, nothing here costs more than looking at that; no span is made. Attributes are named after
OpenTelemetry's semantic conventions and have ids, names and codes alone (ALLOWED): no personal
data, no token, no text that a customer wrote.
"""

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from random import getrandbits

from services.common.context import current, use
from services.common.tracing.trace_context import SAMPLED, span_id_of, trace_id_of

QUEUE_LIMIT = 4_096
"""How many spans wait to be exported; beyond it the oldest are dropped."""
VALUE_LIMIT = 128
REQUEST_ID = "mamie_rosa.request.id"
ORDER_ID = "mamie_rosa.order.id"
ALLOWED = frozenset(
    {
        REQUEST_ID,
        ORDER_ID,
        "mamie_rosa.notification.channel",
        "mamie_rosa.notification.template",
        "mamie_rosa.saga.step",
        "db.collection.name",
        "db.operation.name",
        "db.system.name",
        "messaging.destination.name",
        "messaging.message.id",
        "messaging.operation.type",
        "messaging.system",
        "rpc.method",
        "rpc.response.status_code",
        "rpc.system.name",
    }
)
"""The attributes that leave the process; any other is dropped."""

_ID = re.compile(r"[0-9a-f-]{32,36}")
"""Anything else may be text that somebody typed where an id belongs, such as an email address."""


class Kind(IntEnum):
    """The kinds of spans, with OTLP's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Span:
    """One span; `end` records it.

    `parent` is the traceparent of what it is a part of. Times are in nanoseconds since 1970;
    `error` is the type or the code of an error, empty without one.
    """

    __slots__ = (
        "attributes",
        "end_ns",
        "error",
        "kind",
        "name",
        "parent_id",
        "span_id",
        "start_ns",
        "trace_id",
    )

    def __init__(
        self,
        parent: str,
        name: str,
        kind: Kind,
        attributes: Mapping[str, str],
        start_ns: int | None = None,
    ) -> None:
        self.trace_id = trace_id_of(parent)
        self.parent_id = span_id_of(parent)
        self.span_id = f"{getrandbits(64) or 1:016x}"
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes)
        self.start_ns = time.time_ns() if start_ns is None else start_ns
        self.end_ns = 0
        self.error = ""

    @property
    def traceparent(self) -> str:
        """The trace context of what is a part of this span."""
        return f"00-{self.trace_id}-{self.span_id}{SAMPLED}"

    def end(self, error: str = "") -> None:
        """End the span and let it be exported."""
        self.end_ns, self.error = time.time_ns(), error
        waiting.append(self)


waiting: deque[Span] = deque(maxlen=QUEUE_LIMIT)
"""The spans that wait to be exported."""
_enabled = False


def enable(*, enabled: bool = True) -> None:
    """Record the spans of sampled calls in this process; nothing is recorded before."""
    global _enabled  # noqa: PLW0603 - one process, one collector
    _enabled = enabled


def is_recording() -> bool:
    """Return whether the spans of the current call are recorded."""
    return _enabled and current().is_sampled


def begin(
    name: str, kind: Kind, attributes: Mapping[str, str], *, parent: str | None = None
) -> Span | None:
    """Begin a part of the current call, or of `parent`; None unless that is recorded."""
    parent = current().traceparent if parent is None else parent
    if not _enabled or parent is None or not parent.endswith(SAMPLED):
        return None
    return Span(parent, name, kind, attributes)


@contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a block as a part of the current call; what it calls is a part of it."""
    begun = begin(name, kind, attributes or {})
    if begun is None:
        yield
        return
    with use(replace(current(), traceparent=begun.traceparent)), ending(begun):
        yield


@contextmanager
def outgoing(name: str, attributes: Mapping[str, str]) -> Iterator[None]:
    """Run a block that calls something outside of the mesh, as a part of the current call."""
    with span(name, Kind.CLIENT, attributes):
        yield


@contextmanager
def ending(begun: Span, expected: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """End a span after a block, with the type of an error that is not `expected`."""
    try:
        yield
    except expected:
        begun.end()
        raise
    except BaseException as error:
        begun.end(type(error).__name__)
        raise
    begun.end()


def record_error(
    parent: str | None, name: str, attributes: Mapping[str, str], error: str, seconds: float
) -> None:
    """Record a call that failed, though its trace is not recorded: errors are always kept."""
    if not _enabled or parent is None:
        return
    failed = Span(
        parent, name, Kind.SERVER, attributes, start_ns=time.time_ns() - int(seconds * 1e9)
    )
    failed.end(error)


def valid_id(text: object) -> str:
    """Return an id as it is; empty for what may be anything else."""
    return text if isinstance(text, str) and _ID.fullmatch(text) else ""
