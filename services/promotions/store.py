"""Redis, as the promotions use it: the client, and its errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis import exceptions as redis_errors
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from services.common.errors import StoreUnavailableError

TIMEOUT_SECONDS = 2

AWAY = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.MasterDownError,
    redis_errors.OutOfMemoryError,
)
"""What the driver raises when the store cannot be reached, or not be used for now."""


def connect(url: str) -> redis.Redis:
    """Return a client; nothing connects yet. Answers are bytes, for events are binary.

    Calls give up after 2 s; one whose connection breaks is sent again once.
    """
    broken = (redis_errors.ConnectionError,)
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(ConstantBackoff(0.05), retries=1, supported_errors=broken),
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the driver's "cannot use the store" into StoreUnavailableError."""
    try:
        yield
    except AWAY as error:
        raise StoreUnavailableError from error
