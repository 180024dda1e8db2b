"""The context of the current call: request id, trace, deadline, caller.

The server interceptor sets it for the duration of one call; `current()` returns it. Outside
of a call (workers, start-up) it is an empty context, so the same code runs in both places.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Caller:
    """The user who makes a call, as their token proves.

    `user_id` is empty for an anonymous user or another service.
    """

    user_id: str = ""
    role: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an administrator."""
        return self.role == "admin"


@dataclass(frozen=True)
class CallContext:
    """One call.

    `deadline` is on the clock of `time.monotonic()`, in seconds; None means no limit.
    `traceparent` is the W3C header of the span that the call is in; `accept_language` is the HTTP
    header (RFC 9110). `caller_address` is the IP address that the edge saw; empty for calls that
    did not come through the edge. `token` is the caller's, verified, to be passed on; it is
    accepted until `authorized_until`, on the clock of `deadline`.
    """

    request_id: str = ""
    traceparent: str | None = None
    deadline: float | None = None
    caller: Caller = field(default_factory=Caller)
    idempotency_key: str = ""
    accept_language: str = ""
    caller_address: str = ""
    token: str = field(default="", repr=False)
    authorized_until: float | None = None

    @property
    def trace_id(self) -> str:
        """The trace id of the call, 32 hex digits; empty without a trace."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) == 4 else ""

    @property
    def is_sampled(self) -> bool:
        """Whether the spans of the call are recorded."""
        return self.traceparent is not None and self.traceparent.endswith("-01")

    def remaining_seconds(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None means no limit."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())


_current: ContextVar[CallContext] = ContextVar("call_context")
_OUTSIDE = CallContext()


def current() -> CallContext:
    """Return the context of the current call, or an empty one."""
    return _current.get(_OUTSIDE)


@contextmanager
def use(context: CallContext) -> Iterator[CallContext]:
    """Make `context` the current one inside the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
