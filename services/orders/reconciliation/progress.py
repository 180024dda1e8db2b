"""How far the reconciliation has got, and which orders have changed: in MongoDB.

The document `reconciliation` of the collection `locks` has both the lock and the progress. The
ids of events begin with the time of the store's clock, so changes are found by the index that
every collection has: nothing is written for it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Protocol

import pymongo
from bson import ObjectId
from typing_extensions import override

from services.orders.store import Lock, open_database, store_call

LOCK = "reconciliation"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the next run goes on.

    A round compares all orders by their ids: `following` is the next one ("" begins a round),
    `compared` is how many it has compared since `round_began_at`, and `round_seconds` is how
    long the last round took. `fresh` and `recent` are positions among changes.
    """

    following: str = ""
    round_began_at: datetime | None = None
    round_seconds: float = 0.0
    compared: int = 0
    fresh: str = ""
    recent: str = ""


@dataclass(frozen=True)
class Changes:
    """Orders that changed, and the position behind them; `has_more` if there are further ones."""

    order_ids: Sequence[str]
    position: str
    has_more: bool


class ProgressRepository(Protocol):
    """Stores progress under a lock, and lists what changed."""

    def acquire_lock(self, duration: timedelta) -> Progress | None:
        """Lock out other instances for a time; None when another instance has the lock."""

    def save_progress(self, progress: Progress, duration: timedelta) -> bool:
        """Save progress and extend the lock; False, without an effect, when it was lost."""

    def list_changed(
        self, position: str, *, since: datetime, until: datetime, limit: int
    ) -> Changes:
        """List the orders of at most `limit` changes, oldest first, between two moments.

        Begins behind a position, if that is later than `since`.
        """

    def count_orders(self) -> int:
        """Return about how many orders there are."""


class MongoProgress(ProgressRepository):
    """Progress in MongoDB."""

    def __init__(self, client: pymongo.MongoClient) -> None:
        self._database = open_database(client)
        self._lock = Lock(self._database, LOCK)

    @override
    def acquire_lock(self, duration: timedelta) -> Progress | None:
        lock = self._lock.acquire(duration)
        if lock is None:
            return None
        stored = {field.name for field in fields(Progress)} & lock.keys()
        return Progress(**{name: lock[name] for name in stored})

    @override
    def save_progress(self, progress: Progress, duration: timedelta) -> bool:
        return self._lock.extend(duration, **asdict(progress))

    @override
    def list_changed(
        self, position: str, *, since: datetime, until: datetime, limit: int
    ) -> Changes:
        begin = max(position, _position_at(since))
        end = max(begin, _position_at(until))
        behind = {"_id": {"$gt": ObjectId(begin), "$lt": ObjectId(end)}}
        with store_call():
            found = self._database.events.find(behind, {"order_id": 1}).sort("_id").limit(limit)
            events = list(found)
        order_ids = sorted({event["order_id"] for event in events})
        if len(events) < limit:
            return Changes(order_ids, end, has_more=False)
        return Changes(order_ids, str(events[-1]["_id"]), has_more=True)

    @override
    def count_orders(self) -> int:
        with store_call():
            return self._database.orders.estimated_document_count()


def _position_at(moment: datetime) -> str:
    """Return the position before all changes of a moment; positions sort by time."""
    return str(ObjectId.from_datetime(moment))
