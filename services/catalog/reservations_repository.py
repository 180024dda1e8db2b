"""Stock reservations in PostgreSQL: one for each order."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
from prometheus_client import Counter
from typing_extensions import override

from services.catalog import domain
from services.catalog import reservation_statements as statements
from services.catalog.domain import Line, Reservation, ReservationChange, ReservationState
from services.catalog.stock import StockUpdater
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.storage import postgres

CHANGES = ("reserved", "committed", "released", "expired")
RESERVATIONS = Counter(
    "mamie_stock_reservations", "Reservations of orders by what became of them.", ("change",)
)
for _change in CHANGES:
    RESERVATIONS.labels(_change)

Decide = Callable[[Reservation | None], ReservationChange]
"""A rule of the domain: from an order's reservation, if any, to its change."""


class ReservationsRepository(Protocol):
    """Stores reservations, by the id of their order."""

    def change(self, order_id: str, decide: Decide) -> Reservation:
        """Apply a decision to an order's reservation and return the result.

        Decisions on one order are taken one after the other. One that raises, or that ends
        with OutOfStockError, changes nothing.
        """

    def reserve(self, wanted: Reservation) -> Reservation:
        """Reserve stock for an order, as domain.reserve decides."""
        return self.change(wanted.order_id, partial(domain.reserve, wanted=wanted))

    def commit(self, order_id: str) -> None:
        """Commit an order's reservation, as domain.commit decides."""
        self.change(order_id, partial(domain.commit, order_id=order_id))

    def release(self, order_id: str, now: datetime) -> None:
        """Release an order's reservation, as domain.release decides."""
        self.change(order_id, partial(domain.release, order_id=order_id, now=now))

    def expire(self, now: datetime, limit: int) -> int:
        """Expire the oldest overdue reservations and return how many these were.

        What another call is changing at the moment is left out.
        """

    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        """Return reservations ordered by order id, from `order_id` on; "" is the start."""

    def list_of(self, order_ids: Sequence[str]) -> Sequence[Reservation]:
        """Return the reservations of some orders, in any order."""


class PostgresReservationsRepository(ReservationsRepository):
    """Reservations in PostgreSQL, in the database of the products."""

    def __init__(
        self, engine: sa.Engine, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._engine = engine
        self._stock = StockUpdater(clock=clock, new_id=new_id)

    @override
    def change(self, order_id: str, decide: Decide) -> Reservation:
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(statements.LOAD, {"order_id": order_id}).one_or_none()
            change = decide(_to_reservation(row) if row else None)
            self._stock.take_all(connection, change.taken)
            connection.execute(statements.SAVE, _to_row(change.reservation))
            return change.reservation

    @override
    def reserve(self, wanted: Reservation) -> Reservation:
        lines = sorted(wanted.lines, key=lambda line: line.product_id)
        values = _to_row(wanted) | {
            "lines": json.dumps([asdict(line) for line in wanted.lines]),
            "product_ids": [line.product_id for line in lines],
            "quantities": [line.quantity for line in lines],
        }
        if self._changes_rows(statements.RESERVE, values):
            RESERVATIONS.labels("reserved").inc()
            return wanted
        return super().reserve(wanted)

    @override
    def commit(self, order_id: str) -> None:
        if self._changes_rows(statements.COMMIT, {"id": order_id}):
            RESERVATIONS.labels("committed").inc()
        else:
            super().commit(order_id)

    @override
    def release(self, order_id: str, now: datetime) -> None:
        if self._changes_rows(statements.RELEASE, {"order_id": order_id}):
            RESERVATIONS.labels("released").inc()
        else:
            super().release(order_id, now)

    @override
    def expire(self, now: datetime, limit: int) -> int:
        with postgres.transaction(self._engine) as connection:
            overdue = {"now": now, "limit": limit}
            rows = connection.execute(statements.CLAIM_OVERDUE, overdue).all()
            if not rows:
                return 0
            changes = [domain.expire(_to_reservation(row), now) for row in rows]
            taken = [line for change in changes for line in change.taken]
            self._stock.take_all(connection, domain.merge_lines(taken))
            order_ids = [row.order_id for row in rows]
            connection.execute(statements.MARK_EXPIRED, {"order_ids": order_ids})
        RESERVATIONS.labels("expired").inc(len(rows))
        return len(rows)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        page = statements.PAGE_FROM if order_id else statements.FIRST_PAGE
        start = {"order_id": order_id} if order_id else {}
        rows = postgres.read(self._engine, page, {"limit": limit} | start)
        return [_to_reservation(row) for row in rows]

    def _changes_rows(self, statement: sa.Executable, values: Mapping[str, Any]) -> bool:
        """Execute one statement in a transaction of its own; return whether it changed anything."""
        with postgres.autocommit(self._engine) as connection:
            return connection.execute(statement, values).rowcount > 0

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Reservation]:
        rows = postgres.read(self._engine, statements.OF_ORDERS, {"order_ids": list(order_ids)})
        return [_to_reservation(row) for row in rows]


def _to_row(reservation: Reservation) -> dict[str, Any]:
    return {
        "order_id": reservation.order_id,
        "state": reservation.state,
        "expires_at": reservation.expires_at,
        "lines": [asdict(line) for line in reservation.lines],
    }


def _to_reservation(row: sa.Row[Any]) -> Reservation:
    return Reservation(
        order_id=row.order_id,
        state=ReservationState(row.state),
        expires_at=row.expires_at,
        lines=[Line(**line) for line in row.lines],
    )
