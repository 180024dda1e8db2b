"""MongoDB, as orders use it: connections, transactions, errors, indexes."""

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pymongo
from bson import ObjectId
from pymongo import errors as mongo_errors
from pymongo import monitoring
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.monitoring import ConnectionPoolListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from typing_extensions import override

from services.common.clock import NewId, new_id
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.tracing import spans
from services.common.tracing.spans import Span
from services.common.tracing.stores import begin_operation
from services.orders.events import OrderPlaced

Result = TypeVar("Result")

MAJORITY = WriteConcern("majority", j=True)
DURABLE = ReadConcern("majority")
"""Reads nothing that a crash or a failover can undo; what follows from it cannot be undone."""
SNAPSHOT = ReadConcern("snapshot")
TIMEOUT_MS = 3_000
POOL_SIZE = 32
TRANSIENT_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult")
ATTEMPTS_RETENTION_SECONDS = 60
NOT_COMPLETE = {"due_at": {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}}
"""Matches sagas with a lease, running or over."""
WITH_EVENTS = {
    "$lookup": {
        "from": "events",
        "localField": "_id",
        "foreignField": "order_id",
        "as": "events",
    }
}
"""Adds the events of each order of the index, in no order."""
MARKING_SECONDS = 600
WAITING = "to_ship"
MARK_WAITING: list[dict[str, Any]] = [
    {"$match": {"type": {"$in": ["OrderConfirmed", "OrderShipped", "OrderCancelled"]}}},
    {"$group": {"_id": "$order_id", "types": {"$push": "$type"}, "time": {"$min": "$time"}}},
    {"$match": {"types": ["OrderConfirmed"]}},
    {"$project": {"to_ship_since": "$time"}},
    {"$merge": {"into": "sagas", "whenMatched": "merge", "whenNotMatched": "discard"}},
]
"""Marks the orders of earlier releases that wait to be shipped: reads all events, once."""


def connect(url: str, *listeners: ConnectionPoolListener) -> pymongo.MongoClient:
    """Build a client, which connects when it is first used. Calls time out after 3 s.

    It calls the listeners, if there are any.
    """
    return pymongo.MongoClient(url, event_listeners=[CommandSpans(), *listeners], **_options())


def connect_async(url: str) -> pymongo.AsyncMongoClient:
    """Build a client for the event loop on which it is first used; otherwise as `connect`."""
    return pymongo.AsyncMongoClient(url, **_options())


def _options() -> dict[str, Any]:
    return {
        "tz_aware": True,
        "connect": False,
        "serverSelectionTimeoutMS": TIMEOUT_MS,
        "timeoutMS": TIMEOUT_MS,
        "maxPoolSize": POOL_SIZE,
    }


class CommandSpans(monitoring.CommandListener):
    """Records the commands of the calls that are recorded: their names and collections alone."""

    def __init__(self) -> None:
        self._begun: dict[int, Span] = {}

    @override
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not spans.is_recording():
            return
        collection = event.command.get(event.command_name)
        named = collection if isinstance(collection, str) else ""
        if span := begin_operation("mongodb", event.command_name, named):
            self._begun[event.request_id] = span

    @override
    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if self._begun and (span := self._begun.pop(event.request_id, None)):
            span.end()

    @override
    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        if span := self._begun.pop(event.request_id, None):
            span.end(str(event.failure.get("codeName", "CommandFailed")))


def open_database(client: pymongo.MongoClient) -> Database[dict[str, Any]]:
    """Return the database; what is written is durable when it is acknowledged, as is what is read.

    Decisions, answers and events follow from what is read.
    """
    return client.get_default_database(read_concern=DURABLE, write_concern=MAJORITY)


def after(duration: timedelta) -> dict[str, Any]:
    """Build the expression of a moment from now, by the server's clock.

    Leases and locks use it in pipeline updates: the clocks of instances may differ.
    """
    return {"$add": ["$$NOW", duration // timedelta(milliseconds=1)]}


def saga_change(lease: timedelta | None) -> list[dict[str, Any]] | dict[str, Any]:
    """Build the update of a saga after events; a complete one has no lease nor payment token."""
    if lease is None:
        return {"$set": {"due_at": None}, "$unset": {"waits_for": "", "payment_token": ""}}
    return [{"$set": {"due_at": after(lease)}}, {"$unset": "waits_for"}]


def build_id(moment: datetime) -> ObjectId:
    """Build an id whose time is `moment`; those of the driver are of the instance's clock."""
    return ObjectId(struct.pack(">I", int(moment.timestamp())) + ObjectId().binary[4:])


class Lock:
    """A document of the collection `locks` that one owner at a time holds until it runs out."""

    def __init__(
        self, database: Database[dict[str, Any]], name: str, *, new_id: NewId = new_id
    ) -> None:
        self._locks = database.locks
        self._name = name
        self._token = new_id()

    def acquire(self, duration: timedelta) -> dict[str, Any] | None:
        """Lock for a time; return the document, None while it is locked."""
        is_free = {"$lte": [{"$ifNull": ["$until", "$$NOW"]}, "$$NOW"]}
        change = {
            "token": {"$cond": [is_free, self._token, "$token"]},
            "until": {"$cond": [is_free, after(duration), "$until"]},
            "acquired": is_free,
        }
        try:
            with store_call():
                found: Any = self._locks.find_one_and_update(
                    {"_id": self._name},
                    [{"$set": change}],
                    upsert=True,
                    return_document=pymongo.ReturnDocument.AFTER,
                )
        except mongo_errors.DuplicateKeyError:
            return None
        return found if found["acquired"] else None

    def extend(self, duration: timedelta, **facts: Any) -> bool:
        """Lock for a time from now on, and store facts; False when another owner has the lock."""
        stored = {name: {"$literal": value} for name, value in facts.items()}
        with store_call():
            own = {"_id": self._name, "token": self._token}
            change = [{"$set": stored | {"until": after(duration)}}]
            return self._locks.update_one(own, change).matched_count == 1

    def release(self) -> None:
        """Unlock, unless another owner has the lock."""
        self.extend(timedelta(0))


class StoreClock:
    """The clock of the store, which all instances share; `now` is the time.

    It is measured once in a while (`measure`, as part of the health check) and goes on with the
    monotonic clock in between: an instance whose wall clock is wrong or jumps is right.
    """

    def __init__(self, client: pymongo.MongoClient) -> None:
        self._client = client
        self._measured: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the time, in UTC; StoreUnavailableError if it was never measured."""
        time_then, then = self._measured or self.measure()
        return time_then + timedelta(seconds=time.monotonic() - then)

    def measure(self) -> tuple[datetime, float]:
        """Read the store's clock; StoreUnavailableError when the store does not answer."""
        with store_call():
            answer = self._client.admin.command("hello")
        self._measured = answer["localTime"].replace(tzinfo=UTC), time.monotonic()
        return self._measured


def migrate(client: pymongo.MongoClient) -> None:
    """Create the indexes (and so the collections) that do not exist."""
    database = client.get_default_database()
    database.events.create_index([("order_id", 1), ("sequence", 1)], unique=True)
    database.events.create_index(
        [("data.user_id", 1), ("data.items.product_id", 1)],
        name="bought_products",
        partialFilterExpression={"type": OrderPlaced.__name__},
    )
    database.orders.create_index([("user_id", 1), ("created_at", -1), ("_id", 1)])
    database.orders.create_index([("created_at", -1), ("_id", 1)])
    database.sagas.create_index("due_at")
    _index_marks(database)
    database.outbox.create_index([("subject", 1), ("sequence", 1)], unique=True)
    database.outbox.create_index("time")
    database.discrepancies.update_many(
        {"order_id": None},  # of the release before
        [{"$set": {"order_id": {"$first": {"$split": ["$_id", "/"]}}}}],
    )
    database.discrepancies.create_index("order_id")
    database.discrepancies.create_index([("found_at", -1)])
    database.attempts.create_index("until", expireAfterSeconds=ATTEMPTS_RETENTION_SECONDS)


def _index_marks(database: Database[dict[str, Any]]) -> None:
    """Index the marks of sagas (codec.py); mark what waits to be shipped before the first time."""
    if WAITING not in database.sagas.index_information():
        with pymongo.timeout(MARKING_SECONDS):
            database.events.aggregate(MARK_WAITING, allowDiskUse=True)
    database.sagas.create_index("to_ship_since", name=WAITING, sparse=True)
    database.sagas.create_index([("sold_at", 1), ("sold_cents", 1)], sparse=True)


def run_transaction(
    client: pymongo.MongoClient, write: Callable[[ClientSession], Result]
) -> Result:
    """Run `write` in a transaction, journaled by a majority, and return its result.

    The driver repeats `write` after a transient conflict, within the time of one call.
    """
    with store_call(), client.start_session() as session:
        return session.with_transaction(write, read_concern=SNAPSHOT, write_concern=MAJORITY)


@contextmanager
def store_call() -> Iterator[None]:
    """Bound the operations inside the block to what remains of the call's deadline.

    All of them together take at most TIMEOUT_MS. None is begun when the deadline is over: what a
    caller no longer waits for is not done. Errors are translated; not for generators, whose
    blocks would bound what their readers do.
    """
    seconds = TIMEOUT_MS / 1_000
    remaining = current().remaining_seconds()
    if remaining is not None:
        seconds = min(seconds, remaining)
    if seconds <= 0:
        raise StoreUnavailableError
    with translate_errors(), pymongo.timeout(seconds):
        yield


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's connection errors and timeouts to StoreUnavailableError.

    So are transactions that conflict for too long, or whose outcome is unknown.
    """
    try:
        yield
    except mongo_errors.PyMongoError as error:
        if _is_unavailable(error):
            raise StoreUnavailableError from error
        raise


def _is_unavailable(error: mongo_errors.PyMongoError) -> bool:
    return (
        isinstance(error, mongo_errors.ConnectionFailure)
        or error.timeout
        or any(map(error.has_error_label, TRANSIENT_LABELS))
    )
