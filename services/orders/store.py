"""MongoDB, as the orders use it: clients, errors, indexes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import errors as mongo_errors
from pymongo.write_concern import WriteConcern

from services.common.errors import StoreUnavailableError
from services.orders.domain import OrderPlaced

MAJORITY = WriteConcern("majority", j=True)
TIMEOUT_MS = 3_000


def connect(url: str) -> pymongo.MongoClient:
    """Return a client; nothing connects yet. Calls give up after 3 s."""
    return pymongo.MongoClient(url, **_options())


def connect_async(url: str) -> pymongo.AsyncMongoClient:
    """Return a client for the loop on which it is first used, otherwise as `connect`."""
    return pymongo.AsyncMongoClient(url, **_options())


def _options() -> dict[str, Any]:
    return {
        "tz_aware": True,
        "connect": False,
        "serverSelectionTimeoutMS": TIMEOUT_MS,
        "timeoutMS": TIMEOUT_MS,
        "maxPoolSize": 32,
    }


def migrate(client: pymongo.MongoClient) -> None:
    """Make the indexes (and so the collections); those that exist stay."""
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


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the driver's "cannot reach the store" into StoreUnavailableError."""
    try:
        yield
    except mongo_errors.PyMongoError as error:
        if isinstance(error, mongo_errors.ConnectionFailure) or error.timeout:
            raise StoreUnavailableError from error
        raise
