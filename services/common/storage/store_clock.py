"""The clock of a store, which all instances of a service share.

Instances may have clocks of their own that differ by hours. What one of them decides by the time
of day and another one judges, such as the end of a reservation, goes by the store's clock.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres

SYNC_SECONDS = 10.0
"""How often the store is asked; in between the monotonic clock counts, which nobody can set."""

NOW = sa.select(sa.func.clock_timestamp())


class StoreClock:
    """A clock that shows the time of PostgreSQL.

    The first call raises StoreUnavailableError when the store does not answer; later calls go on
    from the last answer.
    """

    def __init__(
        self, engine: sa.Engine, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next_sync = 0.0
        self._synced: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """Return the current time of the store, in UTC."""
        if self._begins_sync():
            self._sync()
        if self._synced is None:  # another thread is asking for the first time
            self._sync()
        assert self._synced
        time_of_store, at = self._synced
        return time_of_store + timedelta(seconds=self._monotonic() - at)

    def _begins_sync(self) -> bool:
        """Return whether the store is to be asked by this thread; one asks at a time."""
        with self._lock:
            now = self._monotonic()
            if self._synced and now < self._next_sync:
                return False
            self._next_sync = now + SYNC_SECONDS
            return True

    def _sync(self) -> None:
        try:
            time_of_store = ask(self._engine)
        except StoreUnavailableError:
            if self._synced is None:
                raise
        else:
            self._synced = (time_of_store, self._monotonic())


def ask(engine: sa.Engine) -> datetime:
    """Return the time of PostgreSQL; StoreUnavailableError when it does not answer."""
    ((now,),) = postgres.read(engine, NOW)
    assert isinstance(now, datetime)
    return now
