"""Attempts at placing an order, in MongoDB: one request at a time for each Idempotency-Key.

An attempt is a lease in the collection `attempts`, by the server's clock. It keeps repeats from
doing the same work at once, and it fences: the order's first event is written in one transaction
with the end of the attempt, so only its holder can write it. Hence it need not be journaled
when it begins (w:1). If a crash undoes it, its holder cannot place the order. A rejection is
answered only after a majority has recorded it, which makes everything before it durable too.
"""

from datetime import timedelta
from typing import Any

import pymongo
from pymongo import errors as mongo_errors
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.write_concern import WriteConcern
from typing_extensions import override

from services.common.clock import NewId, new_id
from services.common.errors import UnprocessableError
from services.orders.errors import OrderChangedError, recall_refusal
from services.orders.ports import Attempt, Attempts
from services.orders.store import after, open_database, store_call

LEASE_DURATION = timedelta(seconds=5)
REFUSAL_RETENTION = timedelta(seconds=30)
"""How long a rejected cart gets the same answer again; what is on sale may change meanwhile."""


class MongoAttempts(Attempts):
    """The collection `attempts`; what has run out is removed by a TTL index."""

    def __init__(
        self,
        client: pymongo.MongoClient,
        *,
        new_id: NewId = new_id,
        lease: timedelta = LEASE_DURATION,
        refusal_retention: timedelta = REFUSAL_RETENTION,
    ) -> None:
        self._durable = open_database(client).attempts
        self._attempts = self._durable.with_options(write_concern=WriteConcern(w=1))
        self._new_id = new_id
        self._lease = lease
        self._refusal_retention = refusal_retention

    @override
    def begin(self, order_id: str, fingerprint: str) -> Attempt | None:
        wanted = Attempt(order_id, self._new_id())
        taken = {
            "_id": order_id,
            "token": wanted.token,
            "fingerprint": fingerprint,
            "until": after(self._lease),
        }
        try:
            with store_call():
                stored: Any = self._attempts.find_one_and_update(
                    {"_id": order_id},
                    [{"$replaceWith": {"$cond": [_is_free(fingerprint), taken, "$$ROOT"]}}],
                    upsert=True,
                    return_document=pymongo.ReturnDocument.AFTER,
                )
        except mongo_errors.DuplicateKeyError:
            return None
        if "refusal" in stored:
            self._raise_refusal(order_id)
        return wanted if stored["token"] == wanted.token else None

    def _raise_refusal(self, order_id: str) -> None:
        """Raise the recorded rejection of a cart, once it is durable."""
        with store_call():
            stored = self._durable.find_one({"_id": order_id})
        if stored and "refusal" in stored:
            raise recall_refusal(**stored["refusal"])

    @override
    def end(self, attempt: Attempt) -> None:
        with store_call():
            self._attempts.delete_one(_own(attempt))

    @override
    def refuse(self, attempt: Attempt, refusal: UnprocessableError) -> bool:
        facts = {
            "reason": refusal.reason,
            "message": refusal.message,
            "metadata": dict(refusal.metadata),
        }
        change = {
            "token": None,
            "refusal": {"$literal": facts},
            "until": after(self._refusal_retention),
        }
        with store_call():
            return self._durable.update_one(_own(attempt), [{"$set": change}]).matched_count == 1


def end_attempt(
    database: Database[dict[str, Any]], attempt: Attempt, session: ClientSession
) -> None:
    """End an attempt in the transaction that places its order; OrderChangedError if it is lost."""
    if not database.attempts.delete_one(_own(attempt), session=session).deleted_count:
        raise OrderChangedError(attempt.order_id)


def _own(attempt: Attempt) -> dict[str, str]:
    return {"_id": attempt.order_id, "token": attempt.token}


def _is_free(fingerprint: str) -> dict[str, Any]:
    """Build the condition of a new attempt: none is in progress, none of this cart was rejected."""
    over = {"$lte": [{"$ifNull": ["$until", "$$NOW"]}, "$$NOW"]}
    other_was_rejected = {
        "$and": [
            {"$ne": [{"$type": "$refusal"}, "missing"]},
            {"$ne": ["$fingerprint", fingerprint]},
        ]
    }
    return {"$or": [over, other_was_rejected]}
