"""The outbox of orders in MongoDB, as the relay empties it.

The repositories insert integration events in the transaction of what they are about.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pymongo
from pymongo.write_concern import WriteConcern
from typing_extensions import override

from services.common.messaging.events import CloudEvent
from services.common.messaging.relay import Outbox
from services.orders.store import Lock, open_database, store_call

LOCK_DURATION = timedelta(seconds=3)
IDLE_LOOK_SECONDS = 2.0
"""How long the events of an instance that died wait for another one's look, at most."""


class MongoOutbox(Outbox):
    """The collection `outbox`; one relay at a time takes events, for `LOCK_DURATION` at most.

    With `written`, which is set when this instance has written events, the store is asked only
    then, and every `IDLE_LOOK_SECONDS` for what an instance wrote that died.
    """

    def __init__(
        self,
        client: pymongo.MongoClient,
        *,
        written: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        database = open_database(client)
        self._outbox = database.outbox
        # Two relays may overlap, so a lock that a crash undoes does no harm.
        self._lock = Lock(database.with_options(write_concern=WriteConcern(w=1)), "outbox")
        self._written = written
        self._monotonic = monotonic
        self._look_at = 0.0

    @override
    @contextmanager
    def take(self, limit: int) -> Iterator[Sequence[CloudEvent]]:
        if not self._may_have_events():
            yield []
        elif self._lock.acquire(LOCK_DURATION) is None:
            yield []  # and looks again with the next call: the other relay may have died
        else:
            taken = self._oldest(limit)
            yield [_to_event(document) for document in taken]
            self._delete(taken)
            self._lock.release()
            if len(taken) < limit:
                self._rest()

    def _may_have_events(self) -> bool:
        """Return whether to take the lock. Asks the store only when it is time to look."""
        if self._written and self._written.is_set():
            self._written.clear()  # before reading: what is written from now on sets it again
            self._look_at = 0.0
            return True
        if self._monotonic() < self._look_at:
            return False
        with store_call():
            found = self._outbox.find_one({}, {"_id": 1}) is not None
        if not found:
            self._rest()
        return found

    def _rest(self) -> None:
        if self._written:
            self._look_at = self._monotonic() + IDLE_LOOK_SECONDS

    def _oldest(self, limit: int) -> list[dict[str, Any]]:
        """Return the oldest events and all events of the same orders, sorted by order.

        Instances have clocks of their own: within an order only the sequence is reliable.
        """
        with store_call():
            found = list(self._outbox.find().sort("time").limit(limit))
            if len(found) == limit:
                subjects = list({document["subject"] for document in found})
                found = list(self._outbox.find({"subject": {"$in": subjects}}))
        return sorted(found, key=itemgetter("subject", "sequence"))

    def _delete(self, taken: Sequence[dict[str, Any]]) -> None:
        if taken:
            with store_call():
                ids = [document["_id"] for document in taken]
                self._outbox.delete_many({"_id": {"$in": ids}})


def _to_event(document: dict[str, Any]) -> CloudEvent:
    attributes = {name: document[name] for name in CloudEvent.__dataclass_fields__}
    return CloudEvent(**attributes)
