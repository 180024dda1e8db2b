"""Stock reservations in PostgreSQL: one for each order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

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

    def list_expired(self, now: datetime, limit: int) -> Sequence[str]:
        """Return the ids of orders whose reservation is overdue, oldest first."""

    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        """Return reservations ordered by order id, from `order_id` on; "" is the start."""


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
    def list_expired(self, now: datetime, limit: int) -> Sequence[str]:
        is_held = reservations.c.state == ReservationState.HELD
        query = sa.select(reservations.c.order_id).where(is_held, reservations.c.expires_at < now)
        with postgres.transaction(self._engine) as connection:
            oldest = query.order_by(reservations.c.expires_at).limit(limit)
            return connection.execute(oldest).scalars().all()

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        query = sa.select(reservations).order_by(reservations.c.order_id).limit(limit)
        if order_id:
            query = query.where(reservations.c.order_id >= order_id)
        with postgres.transaction(self._engine) as connection:
            return [_to_reservation(row) for row in connection.execute(query)]


def _load(connection: sa.Connection, order_id: str) -> Reservation | None:
    query = sa.select(reservations).where(reservations.c.order_id == order_id)
    row = connection.execute(query).one_or_none()
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
