"""Where the graph is kept: any server that speaks Bolt and the Cypher of Neo4j 5.

    (:Client {user_id, animal_type, as_of, bucket})
        -[:BOUGHT {orders, times, trained_at, last_at}]->
    (:Product {product_id, sku, title, category, as_of})
    (:Event {event_id})             an event that has had its effect
    (:CancelledOrder {order_id})    an order that counts no more, also if it comes later

What changes the graph says so in any order and any number of times: names and animals are
those of the newest `as_of`, an order is in a purchase once or was cancelled, and a purchase is
there while an order or a training is. So the graph is a function of the set of events, and
reading them again gives the same one. Moments are microseconds since 1970.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import neo4j
from neo4j import exceptions as neo4j_errors

from services.common.clock import NewId, new_id
from services.common.errors import StoreUnavailableError
from services.recommendations import changes, cypher, evidence
from services.recommendations.domain import Change, Evidence, Product
from services.recommendations.graph import Transaction, bucket, rows, run

TIMEOUT_SECONDS = 2
FIRST_RETRY_SECONDS = 0.02
RACES = 5
"""How often a change is tried while others make the same nodes."""

AWAY = (
    neo4j_errors.ServiceUnavailable,
    neo4j_errors.SessionExpired,
    neo4j_errors.TransientError,
    neo4j_errors.ConnectionPoolError,
)
"""What the driver raises when the store cannot be reached, or not be used for now."""
STARTING = "Neo.ClientError.Database.DatabaseNotFound"
"""What a server says that has not opened its database yet."""


class RecommendationsRepository(Protocol):
    """Keeps who bought what."""

    def apply(self, event_id: str, change: Change) -> bool:
        """Make a change that an event asks for; False when that event had its effect before."""

    def name(self, products: Sequence[Product], as_of: datetime) -> None:
        """Add products, or rename those that are known under older names."""

    def train(self, user_id: str, names: Sequence[str], now: datetime) -> int:
        """Add purchases of known products, named by id or sku, and count those that are new.

        ProductUnknownError changes nothing.
        """

    def gather(self, user_id: str, limit: int) -> Evidence:
        """Return what is known about what a client may like, as far as `limit` can need it."""

    def clear(self) -> None:
        """Forget what events told; what was trained stays."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


def connect(url: str) -> tuple[neo4j.Driver, str]:
    """Return a driver, which connects when it is used, and the name of the database.

    Calls give up after some seconds, also on a server that is there and says nothing.
    """
    parts = urlsplit(url)
    driver = neo4j.GraphDatabase.driver(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        auth=(unquote(parts.username or ""), unquote(parts.password or "")),
        connection_timeout=TIMEOUT_SECONDS,
        connection_acquisition_timeout=TIMEOUT_SECONDS,
        initial_retry_delay=FIRST_RETRY_SECONDS,
        max_transaction_retry_time=TIMEOUT_SECONDS,
        liveness_check_timeout=0,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
    )
    return driver, parts.path.removeprefix("/")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the driver's "cannot use the store" into StoreUnavailableError."""
    try:
        yield
    except AWAY as error:
        raise StoreUnavailableError from error
    except neo4j_errors.ClientError as error:
        if error.code != STARTING:
            raise
        raise StoreUnavailableError from error


class BoltRecommendationsRepository:
    """The graph behind a Bolt server."""

    def __init__(self, driver: neo4j.Driver, database: str, *, new_id: NewId = new_id) -> None:
        self._driver = driver
        self._database = database
        self._new_id = new_id

    def migrate(self) -> None:
        """Make the constraints and indexes that are not there yet."""
        with translate_errors(), self._session() as session:
            for statement in cypher.SCHEMA:
                session.run(statement).consume()

    def apply(self, event_id: str, change: Change) -> bool:
        """Make a change that an event asks for; False when that event had its effect before."""

        def work(tx: Transaction) -> bool:
            self._lock_client(tx, change.user_id)
            facts = {"event_id": event_id, "call": self._new_id()}
            if not rows(tx, cypher.REMEMBER_EVENT, **facts)[0]["is_new"]:
                return False
            changes.make(tx, change)
            return True

        return self._write(work)

    def name(self, products: Sequence[Product], as_of: datetime) -> None:
        """Add products, or rename those that are known under older names."""
        self._write(lambda tx: changes.name(tx, products, as_of))

    def train(self, user_id: str, names: Sequence[str], now: datetime) -> int:
        """Add purchases of known products, and count those that are new."""

        def work(tx: Transaction) -> int:
            ids = changes.find_products(tx, names)
            self._lock_client(tx, user_id)
            return changes.train(tx, user_id, ids, now)

        return self._write(work)

    def gather(self, user_id: str, limit: int) -> Evidence:
        """Return what is known about what a client may like, as far as `limit` can need it."""
        with translate_errors(), self._session() as session:
            return session.execute_read(evidence.gather, user_id, limit)

    def clear(self) -> None:
        """Forget what events told; what was trained stays."""
        for statement in cypher.FORGET:
            while self._forget(statement):
                pass

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        with translate_errors(), self._session() as session:
            session.run(cypher.PING).consume()

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database)

    def _write(self, work: Callable[[Transaction], Any]) -> Any:
        """Do work in a transaction; again when somebody else makes the same node meanwhile."""
        with translate_errors(), self._session() as session:
            for _ in range(RACES - 1):
                try:
                    return session.execute_write(work)
                except neo4j_errors.ConstraintError:
                    continue
            return session.execute_write(work)

    def _forget(self, statement: str) -> int:
        return self._write(lambda tx: rows(tx, statement)[0]["done"])

    def _lock_client(self, tx: Transaction, user_id: str) -> None:
        """Let changes of one client be made one after the other; add the client if new."""
        facts = {"user_id": user_id, "bucket": bucket(user_id), "call": self._new_id()}
        run(tx, cypher.LOCK_CLIENT, **facts)
