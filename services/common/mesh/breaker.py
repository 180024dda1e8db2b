"""A circuit breaker around the calls to one service.

    CLOSED --(3 failures in a row)--> OPEN --(after a while)--> HALF-OPEN
      ^                                ^                            |
      +-----------(it succeeds)--------+---------(it fails)---------+

While it is open calls fail at once, so nobody waits for a service that is known to be
down. When it is half-open exactly one call is let through to find out. Calls are not
serialised: the lock is held to decide and to count, never while a call runs. A call counts
only in the state that let it through: what a call from before the circuit opened has to
say comes too late. A cancelled call says nothing at all.

A service that passes on the trouble of somebody behind it answers, so it is well. Which of
its reasons mean that is told to the breaker: otherwise whoever finds a request that always
fails behind the service, such as a card that the payment provider cannot handle, could shut
the service for everybody by repeating it.
"""

import threading
import time
from collections.abc import Callable, Collection
from typing import NoReturn

import grpc

from services.common.context import current
from services.common.mesh.channels import remaining_timeout
from services.common.rpc.status import read_status

FAILURES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What says that a service is in trouble; a refusal such as NOT_FOUND says that it is well."""


def _is_cut_short(timeout: float | None) -> bool:
    """Return whether a call gets less time than we would give it, for its caller has less."""
    allowed = remaining_timeout(current(), timeout)
    return allowed is not None and (timeout is None or allowed < timeout)


class CircuitOpenError(grpc.RpcError):
    """The call was not made; to its caller it looks like UNAVAILABLE."""

    def code(self) -> grpc.StatusCode:
        """Return UNAVAILABLE."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Return why."""
        return "circuit open"

    def trailing_metadata(self) -> tuple:
        """Return nothing: the call never left."""
        return ()

    def result(self, _timeout: float | None = None) -> NoReturn:
        """Raise the error itself: gRPC asks the outcome of a call that an interceptor made."""
        raise self

    def add_done_callback(self, callback: Callable[["CircuitOpenError"], object]) -> None:
        """Call back at once: there is nothing to wait for."""
        callback(self)


class CircuitBreaker(grpc.UnaryUnaryClientInterceptor):
    """Opens after `threshold` failures in a row, and tries again after `open_seconds`.

    Failures with one of the reasons `harmless` are answers like any other.
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        open_seconds: float = 1.0,
        ignored_reasons: Collection[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._ignored_reasons = ignored_reasons
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False
        self._changes = 0

    @property
    def is_open(self) -> bool:
        """Return whether calls fail at once, or all but one."""
        with self._lock:
            return self._has_opened()

    def intercept_unary_unary(self, continuation, client_call_details, request):
        """Make the call, unless the circuit is open; count how it ended."""
        admitted = self._admit()
        impatient = _is_cut_short(client_call_details.timeout)
        try:
            call = continuation(client_call_details, request)
        except BaseException:
            self._count(grpc.StatusCode.CANCELLED, admitted)
            raise
        call.add_done_callback(lambda done: self._count(self._verdict(done, impatient), admitted))
        return call

    def _admit(self) -> int:
        """Return how often the state had changed; raise CircuitOpenError when no call may go."""
        with self._lock:
            if self._has_opened():
                if self._probing or self._monotonic() < self._retry_at:
                    raise CircuitOpenError
                self._probing = True
            return self._changes

    def _verdict(self, done: grpc.RpcError, impatient: bool) -> grpc.StatusCode:
        """Return what an outcome says of the service; an impatient caller says nothing."""
        code = done.code()
        if impatient and code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return grpc.StatusCode.CANCELLED
        if code in FAILURES and read_status(done)[0] in self._ignored_reasons:
            return grpc.StatusCode.OK
        return code

    def _count(self, code: grpc.StatusCode, admitted: int) -> None:
        with self._lock:
            if admitted != self._changes:
                return
            self._probing = False
            if code is grpc.StatusCode.CANCELLED:
                return
            was_open = self._has_opened()
            self._failures = self._failures + 1 if code in FAILURES else 0
            self._retry_at = self._monotonic() + self._open_seconds
            self._changes += self._has_opened() != was_open

    def _has_opened(self) -> bool:
        return self._failures >= self._threshold
