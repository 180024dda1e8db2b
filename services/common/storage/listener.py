"""LISTEN and NOTIFY of PostgreSQL: what a process hears about changes that any process commits.

    LISTEN --> connected --> changed, confirmed, changed, ... --> disconnected --> LISTEN ...

Notifications are lost while nobody listens. So what a subscriber knows from before `connected` or
after `disconnected` is worth nothing. A connection may also be dead without a sign: a round trip a
second confirms that it is not, and that what was committed before it has been heard.
"""

import select
import time
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg2
import sqlalchemy as sa

from services.common.background import BackgroundLoop
from services.common.errors import StoreUnavailableError
from services.common.storage import postgres

CONFIRM_SECONDS = 1.0


class Subscriber(Protocol):
    """What hears of changes; it is called by one thread."""

    def connected(self) -> None:
        """Begin: every change that is committed from now on will be heard."""

    def changed(self, names: Sequence[str]) -> None:
        """Hear the payloads of notifications, in the order of their commits."""

    def confirmed(self, at: float) -> None:
        """Learn that what was committed before `at`, by time.monotonic(), has been heard."""

    def disconnected(self) -> None:
        """End: changes may be missed from now on. It may be called twice."""


class Listener:
    """Listens to a channel in a thread of its own, and connects again when it has to."""

    def __init__(self, *, url: str, channel: str, subscriber: Subscriber) -> None:
        self._engine = postgres.create_engine(url, pool_size=1)
        self._listen = sa.text(f"LISTEN {channel}")
        self._subscriber = subscriber
        self._loop = BackgroundLoop(name=f"listener-{channel}", work=self._run)

    def start(self) -> None:
        """Start to listen."""
        self._loop.start()

    def stop(self) -> None:
        """Stop to listen, within a second."""
        self._loop.stop()
        self._engine.dispose()

    def _run(self, loop: BackgroundLoop) -> None:
        with postgres.autocommit(self._engine) as connection:
            try:
                connection.execute(self._listen)
                self._subscriber.connected()
                self._hear(loop, connection.connection.dbapi_connection)
            except psycopg2.Error as error:
                raise StoreUnavailableError from error
            finally:
                self._subscriber.disconnected()
                connection.invalidate()  # it listens: nobody else may have it

    def _hear(self, loop: BackgroundLoop, driver: Any) -> None:
        confirm_at = 0.0
        while not loop.stopping:
            began = time.monotonic()
            confirms = began >= confirm_at
            if confirms:
                _ask(driver)  # what was notified before its answer has arrived with it
                confirm_at = began + CONFIRM_SECONDS
            else:
                driver.poll()
            if names := [each.payload for each in driver.notifies]:
                driver.notifies.clear()
                self._subscriber.changed(names)
            if confirms:
                self._subscriber.confirmed(began)
            loop.succeeded()
            _await_input(driver, confirm_at - time.monotonic())


def _ask(driver: Any) -> None:
    with driver.cursor() as cursor:
        cursor.execute("SELECT 1")


def _await_input(driver: Any, seconds: float) -> None:
    poller = select.poll()
    poller.register(driver.fileno(), select.POLLIN)
    poller.poll(max(0.0, seconds) * 1000)
