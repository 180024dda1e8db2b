"""Stock reservations in PostgreSQL: one for each order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog import domain
from services.catalog.domain import Line, Reservation, ReservationChange, ReservationState
from services.catalog.schema import reservations
from services.catalog.stock import StockUpdater
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.storage import postgres

Decide = Callable[[Reservation | None], ReservationChange]
"""A rule of the domain: from an order's reservation, if any, to its change."""


class ReservationsRepository(Protocol):
    """Stores reservations, by the id of their order."""

    def change(self, order_id: str, decide: Decide) -> Reservation:
        """Apply a decision to an order's reservation and return the result.

        Decisions on one order are taken one after the other. One that raises, or that ends
        with OutOfStockError, changes nothing.
        """

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
            postgres.lock(connection, order_id)
            change = decide(_load(connection, order_id))
            self._stock.take_all(connection, change.taken)
            _save(connection, change.reservation)
            return change.reservation

    @override
    def expire(self, now: datetime, limit: int) -> int:
        with postgres.transaction(self._engine) as connection:
            rows = connection.execute(_claim_overdue(now, limit)).all()
            changes = [domain.expire(_to_reservation(row), now) for row in rows]
            taken = [line for change in changes for line in change.taken]
            self._stock.take_all(connection, domain.merge_lines(taken))
            _mark_expired(connection, [row.order_id for row in rows])
            return len(rows)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        query = sa.select(reservations).order_by(reservations.c.order_id).limit(limit)
        if order_id:
            query = query.where(reservations.c.order_id >= order_id)
        with postgres.transaction(self._engine) as connection:
            return [_to_reservation(row) for row in connection.execute(query)]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Reservation]:
        query = sa.select(reservations).where(reservations.c.order_id.in_(order_ids))
        with postgres.transaction(self._engine) as connection:
            return [_to_reservation(row) for row in connection.execute(query)]


def _claim_overdue(now: datetime, limit: int) -> sa.Select[Any]:
    """Lock the oldest overdue reservations that no other transaction has locked."""
    is_held = reservations.c.state == ReservationState.HELD
    overdue = sa.select(reservations).where(is_held, reservations.c.expires_at <= now)
    oldest = overdue.order_by(reservations.c.expires_at).limit(limit)
    return oldest.with_for_update(skip_locked=True)


def _mark_expired(connection: sa.Connection, order_ids: Sequence[str]) -> None:
    update = sa.update(reservations).where(reservations.c.order_id.in_(order_ids))
    connection.execute(update.values(state=ReservationState.EXPIRED))


def _load(connection: sa.Connection, order_id: str) -> Reservation | None:
    """Load a reservation and lock its row, so that it does not expire while it changes.

    The sweeper does not take the lock on the order's name, for it must not wait: a
    change would then wait for the row, and the sweeper for products that the change has locked.
    """
    query = sa.select(reservations).where(reservations.c.order_id == order_id)
    row = connection.execute(query.with_for_update()).one_or_none()
    return None if row is None else _to_reservation(row)


def _save(connection: sa.Connection, reservation: Reservation) -> None:
    values = {
        "order_id": reservation.order_id,
        "state": reservation.state,
        "expires_at": reservation.expires_at,
        "lines": [asdict(line) for line in reservation.lines],
    }
    insert = postgresql.insert(reservations).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["order_id"], set_=values))


def _to_reservation(row: sa.Row[Any]) -> Reservation:
    return Reservation(
        order_id=row.order_id,
        state=ReservationState(row.state),
        expires_at=row.expires_at,
        lines=[Line(**line) for line in row.lines],
    )
