"""The outbox of orders in MongoDB, as the relay empties it.

The repositories insert integration events in the transaction of what they are about.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pymongo
from typing_extensions import override

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox
from services.orders.store import Lock, open_database, store_call

LOCK_DURATION = timedelta(seconds=3)


class MongoOutbox(Outbox):
    """The collection `outbox`; one relay at a time takes events, for `LOCK_DURATION` at most."""

    def __init__(self, client: pymongo.MongoClient) -> None:
        self._database = open_database(client)
        self._lock = Lock(self._database, "outbox")

    @override
    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        taken = self._oldest(limit) if self._has_events() and self._acquire() else []
        yield [_to_event(document) for document in taken]
        if taken:
            with store_call():
                ids = [document["_id"] for document in taken]
                self._database.outbox.delete_many({"_id": {"$in": ids}})
            self._lock.release()

    def _has_events(self) -> bool:
        with store_call():
            return self._database.outbox.find_one({}, {"_id": 1}) is not None

    def _acquire(self) -> bool:
        return self._lock.acquire(LOCK_DURATION) is not None

    def _oldest(self, limit: int) -> list[dict[str, Any]]:
        """Return the oldest events and all events of the same orders, sorted by order.

        Instances have clocks of their own: within an order only the sequence is reliable.
        """
        with store_call():
            oldest = self._database.outbox.find({}, {"subject": 1}).sort("time").limit(limit)
            subjects = list({document["subject"] for document in oldest})
            of_subjects = self._database.outbox.find({"subject": {"$in": subjects}})
            return list(of_subjects.sort([("subject", 1), ("sequence", 1)]))


def _to_event(document: dict[str, Any]) -> CloudEvent:
    attributes = {name: document[name] for name in CloudEvent.__dataclass_fields__}
    return CloudEvent(**attributes)
