"""MongoDB, as orders use it: connections, transactions, errors, indexes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pymongo
from pymongo import errors as mongo_errors
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.orders.events import OrderPlaced

Result = TypeVar("Result")

MAJORITY = WriteConcern("majority", j=True)
DURABLE = ReadConcern("majority")
"""Reads nothing that a crash or a failover can undo; what follows from it cannot be undone."""
SNAPSHOT = ReadConcern("snapshot")
TIMEOUT_MS = 3_000
TRANSIENT_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult")
ATTEMPTS_RETENTION_SECONDS = 60


def connect(url: str) -> pymongo.MongoClient:
    """Build a client, which connects when it is first used. Calls time out after 3 s."""
    return pymongo.MongoClient(url, **_options())


def connect_async(url: str) -> pymongo.AsyncMongoClient:
    """Build a client for the event loop on which it is first used; otherwise as `connect`."""
    return pymongo.AsyncMongoClient(url, **_options())


def _options() -> dict[str, Any]:
    return {
        "tz_aware": True,
        "connect": False,
        "serverSelectionTimeoutMS": TIMEOUT_MS,
        "timeoutMS": TIMEOUT_MS,
        "maxPoolSize": 32,
    }


def open_database(client: pymongo.MongoClient) -> Database[dict[str, Any]]:
    """Return the database; what is written is durable when it is acknowledged, as is what is read.

    Decisions, answers and events follow from what is read.
    """
    return client.get_default_database(read_concern=DURABLE, write_concern=MAJORITY)


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
    database.sagas.create_index("due_at")
    database.outbox.create_index([("subject", 1), ("sequence", 1)], unique=True)
    database.outbox.create_index("time")
    database.attempts.create_index("until", expireAfterSeconds=ATTEMPTS_RETENTION_SECONDS)


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
