"""The graph of purchases, on any server that speaks Bolt and the Cypher of Neo4j 5.

    (:Client {user_id, animal_type, version, as_of, bucket})     a customer
        -[:BOUGHT {orders, times, trained_at, last_at}]->
    (:Product {product_id, sku, title, category, as_of, buyers})    `buyers` counts its purchases
    (:Event {event_id})             a processed event
    (:CancelledOrder {order_id})    ignored, also if its OrderCreated comes later

Changes commute and are idempotent: animals are those of the highest
version, products those of the newest `as_of`, an order is in a purchase once or was cancelled,
and a purchase exists while an order or a training is in it. So the graph is a function of the
set of events, and a replay gives the same one.
Moments are microseconds since 1970.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import neo4j
from neo4j import exceptions as neo4j_errors
from typing_extensions import override

from services.common.clock import NewId, new_id
from services.common.errors import StoreUnavailableError
from services.recommendations import candidates, cypher
from services.recommendations import changes as graph_changes
from services.recommendations.domain import Candidates, Change, Product
from services.recommendations.graph import Transaction, bucket, rows, run

TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 2
WRITE_TIMEOUT_SECONDS = 10
"""When the server ends a transaction; its caller has left by then."""
FIRST_RETRY_DELAY_SECONDS = 0.02
MAX_WRITE_ATTEMPTS = 5
"""How often a write is attempted while concurrent ones create the same nodes."""

TRANSIENT_ERRORS = (
    neo4j_errors.ServiceUnavailable,
    neo4j_errors.SessionExpired,
    neo4j_errors.TransientError,
    neo4j_errors.ConnectionPoolError,
)
"""The driver's errors when the store is unavailable."""
NOT_NOW_CODES = (
    "Neo.ClientError.Database.DatabaseNotFound",  # not opened yet
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
)
"""The driver calls these errors of the client, but the same call may succeed later."""

Result = TypeVar("Result")


class RecommendationsRepository(Protocol):
    """Stores purchases, customers' animals and products."""

    def apply_all(self, changes: Mapping[str, Change]) -> Collection[str]:
        """Apply the changes of events, by event id, all or none.

        Returns the ids of the events that were not processed before.
        """

    def apply(self, event_id: str, change: Change) -> bool:
        """Apply the change of one event; False when it was processed before."""
        return event_id in self.apply_all({event_id: change})

    def upsert_products(self, products: Sequence[Product], as_of: datetime) -> None:
        """Add products, or update those whose stored data is older."""

    def train(self, user_id: str, names: Sequence[str], now: datetime) -> int:
        """Add purchases of known products, named by id or sku, and count those that are new.

        ProductNotFoundError changes nothing.
        """

    def load_candidates(self, user_id: str, limit: int) -> Candidates:
        """Load the candidates for `limit` recommendations to one customer."""

    def read_version(self, user_id: str) -> str:
        """Return a text that changes with every change of a customer; "" without one."""

    def delete_event_data(self) -> None:
        """Delete the data of events; trained purchases stay."""

    def ping(self) -> None:
        """Raise when the store is unavailable."""


def connect(url: str) -> tuple[neo4j.Driver, str]:
    """Return a driver, which connects when it is used, and the name of the database.

    Calls time out after some seconds, also on a server that accepts connections and is silent.
    """
    parts = urlsplit(url)
    driver = neo4j.GraphDatabase.driver(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        auth=(unquote(parts.username or ""), unquote(parts.password or "")),
        connection_timeout=TIMEOUT_SECONDS,
        connection_acquisition_timeout=TIMEOUT_SECONDS,
        initial_retry_delay=FIRST_RETRY_DELAY_SECONDS,
        max_transaction_retry_time=TIMEOUT_SECONDS,
        liveness_check_timeout=0,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
    )
    return driver, parts.path.removeprefix("/")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's transient errors into StoreUnavailableError."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise StoreUnavailableError from error
    except neo4j_errors.ClientError as error:
        if error.code not in NOT_NOW_CODES:
            raise
        raise StoreUnavailableError from error


class BoltRecommendationsRepository(RecommendationsRepository):
    """The graph behind a Bolt server."""

    def __init__(self, driver: neo4j.Driver, database: str, *, new_id: NewId = new_id) -> None:
        self._driver = driver
        self._database = database
        self._new_id = new_id

    def migrate(self) -> None:
        """Create the constraints and indexes that are missing; count buyers not counted yet."""
        with translate_errors(), self._session() as session:
            for statement in cypher.SCHEMA:
                session.run(statement).consume()
        while self._run_batch(cypher.COUNT_BUYERS):
            pass

    @override
    def apply_all(self, changes: Mapping[str, Change]) -> Collection[str]:
        def work(tx: Transaction) -> Collection[str]:
            self._lock_customers(tx, {change.user_id for change in changes.values()})
            call = self._new_id()
            recorded = rows(tx, cypher.RECORD_EVENTS, event_ids=list(changes), call=call)
            new = {row["event_id"] for row in recorded if row["is_new"]}
            graph_changes.apply_all(tx, [changes[each] for each in changes if each in new])
            return new

        return self._write(work)

    @override
    def upsert_products(self, products: Sequence[Product], as_of: datetime) -> None:
        self._write(lambda tx: graph_changes.upsert_products(tx, products, as_of))

    @override
    def train(self, user_id: str, names: Sequence[str], now: datetime) -> int:
        def work(tx: Transaction) -> int:
            ids = graph_changes.find_products(tx, names)
            self._lock_customers(tx, [user_id])
            return graph_changes.train(tx, user_id, ids, now)

        return self._write(work)

    @override
    def load_candidates(self, user_id: str, limit: int) -> Candidates:
        with translate_errors(), self._session() as session:
            load = neo4j.unit_of_work(timeout=READ_TIMEOUT_SECONDS)(candidates.load)
            return session.execute_read(load, user_id, limit)

    @override
    def read_version(self, user_id: str) -> str:
        query = neo4j.Query(cypher.VERSION, timeout=READ_TIMEOUT_SECONDS)
        with translate_errors(), self._session() as session:
            found = session.run(query, user_id=user_id).single()
        return (found and found["version"]) or ""

    @override
    def delete_event_data(self) -> None:
        for statement in cypher.DELETE_EVENT_DATA:
            while self._run_batch(statement):
                pass

    @override
    def ping(self) -> None:
        with translate_errors(), self._session() as session:
            session.run(neo4j.Query(cypher.PING, timeout=READ_TIMEOUT_SECONDS)).consume()

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database)

    def _write(self, work: Callable[[Transaction], Result]) -> Result:
        """Run work in a transaction; retry when a concurrent one creates the same node."""
        work = neo4j.unit_of_work(timeout=WRITE_TIMEOUT_SECONDS)(work)
        with translate_errors(), self._session() as session:
            for _ in range(MAX_WRITE_ATTEMPTS - 1):
                try:
                    return session.execute_write(work)
                except neo4j_errors.ConstraintError:
                    continue
            return session.execute_write(work)

    def _run_batch(self, statement: str) -> int:
        """Run a statement that changes a batch, and return the size of the batch."""
        return self._write(lambda tx: rows(tx, statement)[0]["changed"])

    def _lock_customers(self, tx: Transaction, user_ids: Iterable[str]) -> None:
        """Serialize the changes of each customer; add those who are new.

        Sorted: concurrent transactions lock customers in the same order.
        """
        customers = [{"user_id": each, "bucket": bucket(each)} for each in sorted(user_ids)]
        run(tx, cypher.LOCK_CUSTOMERS, customers=customers, call=self._new_id())
