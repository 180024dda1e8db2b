"""The orders' outbox in MongoDB, as the relay empties it.

Events are put into it by the repository, in the transaction of what they tell.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pymongo
from pymongo import errors as mongo_errors

from services.common.clock import Clock, utc_now
from services.common.messaging.events import CloudEvent
from services.orders.store import MAJORITY, translate_errors

LOCK = timedelta(seconds=3)


class MongoOutbox:
    """The outbox of the orders. Whoever takes events holds a lock, `LOCK` long at most."""

    def __init__(self, client: pymongo.MongoClient, *, clock: Clock = utc_now) -> None:
        self._database = client.get_default_database(write_concern=MAJORITY)
        self._clock = clock

    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        """Yield the oldest events and drop them at the end; nothing while others take some."""
        with translate_errors():
            taken = self._oldest(limit) if self._waits() and self._lock() else []
        yield [_to_event(document) for document in taken]
        if taken:
            with translate_errors():
                ids = [document["_id"] for document in taken]
                self._database.outbox.delete_many({"_id": {"$in": ids}})
                self._unlock()

    def _waits(self) -> bool:
        return self._database.outbox.find_one({}, {"_id": 1}) is not None

    def _lock(self) -> bool:
        now = self._clock()
        free = {"_id": "outbox", "until": {"$lte": now}}
        try:
            self._database.locks.update_one(free, {"$set": {"until": now + LOCK}}, upsert=True)
        except mongo_errors.DuplicateKeyError:
            return False
        return True

    def _unlock(self) -> None:
        self._database.locks.update_one({"_id": "outbox"}, {"$set": {"until": self._clock()}})

    def _oldest(self, limit: int) -> list[dict[str, Any]]:
        """Return the oldest events, with all that wait of the same orders, these in order.

        Instances have clocks of their own: within an order only the sequence can be trusted.
        """
        oldest = self._database.outbox.find({}, {"subject": 1}).sort("time").limit(limit)
        subjects = list({document["subject"] for document in oldest})
        of_these = self._database.outbox.find({"subject": {"$in": subjects}})
        return list(of_these.sort([("subject", 1), ("sequence", 1)]))


def _to_event(document: dict[str, Any]) -> CloudEvent:
    attributes = {name: document[name] for name in CloudEvent.__dataclass_fields__}
    return CloudEvent(**attributes)
