"""The Redis client of the promotions, the bounds of its calls, and the translation of errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis import exceptions as redis_errors
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.tracing.spans import Span, ending
from services.common.tracing.stores import begin_operation

TIMEOUT_SECONDS = 2.0
MIN_TIMEOUT_SECONDS = 0.001
"""A socket's timeout of zero would mean not to wait at all."""

UNLOADED_SCRIPT = (redis_errors.NoScriptError,)
"""What the first call of a script is answered; the driver then loads it."""
PIPELINE = "PIPELINE"
"""What several commands at once are called in a span."""

TRANSIENT_ERRORS = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.MasterDownError,
    redis_errors.OutOfMemoryError,
)
"""What the driver raises while the store is unavailable."""


class BoundedConnection(redis.connection.AbstractConnection):
    """A connection that waits for the server until the deadline of the current call at most.

    The driver reads both timeouts when it connects; a connection that is open gets them with
    each command. From a command to its answer is a span of the current call.
    """

    _command = PIPELINE
    _span: Span | None = None

    @property
    def socket_timeout(self) -> float:
        """How long one step of a call may take now, in seconds."""
        return _remaining_seconds()

    @socket_timeout.setter
    def socket_timeout(self, _seconds: float | None) -> None:
        """Ignore the timeout of the constructor."""

    @property
    def socket_connect_timeout(self) -> float:
        """How long it may take to connect now, in seconds."""
        return _remaining_seconds()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, _seconds: float | None) -> None:
        """Ignore the timeout of the constructor."""

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Send one command."""
        self._command = str(args[0])
        super().send_command(*args, **kwargs)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command, and limit how long its answer is awaited."""
        if self._sock:
            self._sock.settimeout(self.socket_timeout)
        command_name, self._command = self._command, PIPELINE
        self._span = begin_operation("redis", command_name)
        super().send_packed_command(command, check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read an answer; the span of the commands ends with the first."""
        span, self._span = self._span, None
        if span is None:
            return super().read_response(*args, **kwargs)
        with ending(span, expected=UNLOADED_SCRIPT):
            return super().read_response(*args, **kwargs)


def _remaining_seconds() -> float:
    remaining = current().remaining_seconds()
    if remaining is None:
        return TIMEOUT_SECONDS
    return max(MIN_TIMEOUT_SECONDS, min(TIMEOUT_SECONDS, remaining))


def connect(url: str) -> redis.Redis:
    """Create a client; nothing connects yet. Answers are bytes, since events are binary.

    Calls time out after 2 s, or when the deadline of the current call is over; one whose
    connection breaks is retried once.
    """
    retried = (redis_errors.ConnectionError,)
    retry = Retry(ConstantBackoff(0.05), retries=1, supported_errors=retried)
    pool = redis.ConnectionPool.from_url(url, retry=retry)
    pool.connection_class = _bounded(pool.connection_class)
    return redis.Redis.from_pool(pool)


def _bounded(connection_class: type) -> type:
    """Return a kind of connection (TCP, TLS, a Unix socket) with bounded calls."""
    return type(f"Bounded{connection_class.__name__}", (BoundedConnection, connection_class), {})


@contextmanager
def store_call() -> Iterator[None]:
    """Translate TRANSIENT_ERRORS to StoreUnavailableError.

    Nothing is begun when the deadline of the current call is over.
    """
    if current().remaining_seconds() == 0:
        raise StoreUnavailableError
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise StoreUnavailableError from error
