"""Transactions on a Bolt server, none of which outlasts the current call.

Each wait has an end: for a connection, for an answer, for locks of the server, and between
retries. The driver waits for ever for an answer within a transaction, so a server that hangs
would keep its callers; here the socket has a timeout, which is set before each statement.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import neo4j
from neo4j import exceptions as neo4j_errors

from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.tracing.stores import operation
from services.recommendations.graph import Transaction

CONNECT_SECONDS = 2.0
"""How long a connection is awaited."""
GRACE_SECONDS = 0.2
"""How much longer than the server may take its answer is awaited: it says itself that it ends."""
RETRY_SECONDS = 2.0
"""How long transient errors are retried, from the first one on."""
FIRST_RETRY_DELAY_SECONDS = 0.02

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
Work = Callable[[Transaction], Result]


class Transactions:
    """Runs work in transactions on one database; StoreUnavailableError when it is unavailable."""

    def __init__(self, driver: neo4j.Driver, database: str) -> None:
        self._driver = driver
        self._database = database

    def read(self, work: Work[Result], *, limit_seconds: float) -> Result:
        """Run work that changes nothing, within a limit and the deadline of the current call."""
        return self._run(work, neo4j.READ_ACCESS, limit_seconds)

    def write(self, work: Work[Result], *, limit_seconds: float) -> Result:
        """Run work in a transaction that is committed after it; otherwise as `read`."""
        return self._run(work, neo4j.WRITE_ACCESS, limit_seconds)

    def _run(self, work: Work[Result], access: str, limit_seconds: float) -> Result:
        """Run work, again after transient errors while there is time."""
        deadline = _deadline(limit_seconds)
        last, delay = deadline, FIRST_RETRY_DELAY_SECONDS
        with translate_errors():
            while True:
                try:
                    return self._attempt(work, access, deadline)
                except (neo4j_errors.DriverError, neo4j_errors.Neo4jError) as error:
                    last = min(last, time.monotonic() + RETRY_SECONDS)
                    if not error.is_retryable() or time.monotonic() + delay >= last:
                        raise
                threading.Event().wait(random.uniform(delay / 2, delay))  # noqa: S311 - jitter
                delay *= 2

    def _attempt(self, work: Work[Result], access: str, deadline: float) -> Result:
        left = max(0.001, deadline - time.monotonic())

        @neo4j.unit_of_work(timeout=left)
        def bounded(managed: neo4j.ManagedTransaction) -> Result:
            transaction = Transaction(managed, deadline + GRACE_SECONDS)
            result = work(transaction)
            transaction.limit_wait()  # for the commit
            return result

        with (
            operation("neo4j", access),
            self._driver.session(
                database=self._database,
                connection_acquisition_timeout=min(CONNECT_SECONDS, left),
                max_transaction_retry_time=0,
            ) as session,
        ):
            if access == neo4j.READ_ACCESS:
                return session.execute_read(bounded)
            return session.execute_write(bounded)


def _deadline(limit_seconds: float) -> float:
    """Return when the work has to be done, on time.monotonic()."""
    remaining = current().remaining_seconds()
    if remaining is None:
        return time.monotonic() + limit_seconds
    if remaining == 0:
        raise StoreUnavailableError
    return time.monotonic() + min(limit_seconds, remaining)


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
