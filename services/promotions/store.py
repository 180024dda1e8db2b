"""The Redis client of the promotions, and the translation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis import exceptions as redis_errors
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from services.common.errors import StoreUnavailableError

TIMEOUT_SECONDS = 2

TRANSIENT_ERRORS = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.MasterDownError,
    redis_errors.OutOfMemoryError,
)
"""What the driver raises while the store is unavailable."""


def connect(url: str) -> redis.Redis:
    """Create a client; nothing connects yet. Answers are bytes, since events are binary.

    Calls time out after 2 s; one whose connection breaks is retried once.
    """
    retried = (redis_errors.ConnectionError,)
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(ConstantBackoff(0.05), retries=1, supported_errors=retried),
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate TRANSIENT_ERRORS to StoreUnavailableError."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise StoreUnavailableError from error
