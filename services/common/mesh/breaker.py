"""A circuit breaker around the calls to one upstream.

    CLOSED --(3 failures in a row)--> OPEN --(after a delay)--> HALF-OPEN
      ^                                ^                            |
      +-----------(it succeeds)--------+---------(it fails)---------+

While the circuit is open, calls fail at once instead of waiting for an upstream that is down.
When it is half-open, exactly one call is let through as a probe. Calls run concurrently: the
lock is held to admit and to count, never during a call. A call counts only if the state has
not changed since it was admitted. A cancelled call does not count.

Some failures come from a dependency behind the upstream, which is itself healthy. Their
reasons are ignored: otherwise anyone with a request that always fails there, such as a card
that the payment provider rejects with an error, could open the circuit for all customers by
repeating it.
"""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
from typing_extensions import override

from services.common.context import current
from services.common.mesh.channels import Continuation, Request, remaining_timeout
from services.common.metrics import breakers
from services.common.rpc.status import FailedCall, read_status

FAILURE_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""The codes of an unhealthy upstream; any other, such as NOT_FOUND, is from a healthy one."""


class CallFuture(FailedCall, Protocol):
    """A call that has been made."""

    def code(self) -> grpc.StatusCode:
        """Return the status code, when the call is done."""

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        """Call back when the call is done."""


Call = TypeVar("Call", bound=CallFuture)


class CircuitOpenError(grpc.RpcError):
    """The call was not made; callers see UNAVAILABLE."""

    def code(self) -> grpc.StatusCode:
        """Return UNAVAILABLE."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Return the reason."""
        return "circuit open"

    def trailing_metadata(self) -> tuple[()]:
        """Return no metadata."""
        return ()

    def result(self, _timeout: float | None = None) -> NoReturn:
        """Raise the error itself: gRPC reads the outcome of a call from its future."""
        raise self

    def add_done_callback(self, callback: Callable[["CircuitOpenError"], object]) -> None:
        """Call back at once."""
        callback(self)


class CircuitBreaker(grpc.UnaryUnaryClientInterceptor):
    """Opens after `threshold` failures in a row, and probes again after `open_seconds`.

    Failures with one of `ignored_reasons` count as successes. `upstream` names it in the metrics.
    """

    def __init__(
        self,
        *,
        upstream: str = "",
        threshold: int = 3,
        open_seconds: float = 1.0,
        ignored_reasons: Collection[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._ignored_reasons = ignored_reasons
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._probe_at = 0.0
        self._probing = False
        self._generation = 0
        """Increases with each change between open and closed."""
        if upstream:
            breakers.declare(upstream)

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, except for a probe."""
        with self._lock:
            return self._has_opened()

    @override
    def intercept_unary_unary(
        self,
        continuation: Continuation[Request, Call],
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> Call:
        generation = self._admit()
        limited = _is_limited_by_caller(client_call_details.timeout)
        try:
            call = continuation(client_call_details, request)
        except BaseException:
            self._count(grpc.StatusCode.CANCELLED, generation)
            raise
        call.add_done_callback(lambda done: self._count(self._outcome(done, limited), generation))
        return call

    def _admit(self) -> int:
        """Return the current generation; CircuitOpenError when no call is let through."""
        with self._lock:
            if self._has_opened():
                if self._probing or self._monotonic() < self._probe_at:
                    raise CircuitOpenError
                self._probing = True
            return self._generation

    def _outcome(self, call: CallFuture, limited_by_caller: bool) -> grpc.StatusCode:
        """Return the code to count: CANCELLED does not count, and OK is a success."""
        code = call.code()
        if limited_by_caller and code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return grpc.StatusCode.CANCELLED
        if code in FAILURE_CODES and read_status(call)[0] in self._ignored_reasons:
            return grpc.StatusCode.OK
        return code

    def _count(self, code: grpc.StatusCode, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            self._probing = False
            if code is grpc.StatusCode.CANCELLED:
                return
            was_open = self._has_opened()
            self._failures = self._failures + 1 if code in FAILURE_CODES else 0
            self._probe_at = self._monotonic() + self._open_seconds
            if self._has_opened() != was_open:
                self._generation += 1
                breakers.note(self._upstream, is_open=not was_open)

    def _has_opened(self) -> bool:
        return self._failures >= self._threshold


def _is_limited_by_caller(timeout: float | None) -> bool:
    """Check whether the caller's deadline leaves a call less than its own timeout."""
    allowed = remaining_timeout(current(), timeout)
    return allowed is not None and (timeout is None or allowed < timeout)
