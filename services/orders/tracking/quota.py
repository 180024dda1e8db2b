"""How many streams one customer may have open on this instance."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.common.context import Caller
from services.common.errors import ResourceExhaustedError

RETRY_AFTER_SECONDS = 10


class TooManyStreamsError(ResourceExhaustedError):
    """The customer has as many open streams as one may have."""

    reason = "TOO_MANY_STREAMS"

    def __init__(self, limit: int) -> None:
        text = f"You watch {limit} orders already; close one of these streams first."
        super().__init__(text, retryAfterSeconds=str(RETRY_AFTER_SECONDS))


class StreamQuota:
    """Counts the open streams of each customer, so that one cannot take those of all.

    Administrators are not limited. It is used on one event loop alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    @contextmanager
    def take(self, caller: Caller) -> Iterator[None]:
        """Count a stream for the length of the block; TooManyStreamsError beyond the limit."""
        if not caller.is_admin and self._open[caller.user_id] >= self._limit:
            raise TooManyStreamsError(self._limit)
        self._open[caller.user_id] += 1
        try:
            yield
        finally:
            self._open[caller.user_id] -= 1
            if not self._open[caller.user_id]:
                del self._open[caller.user_id]
