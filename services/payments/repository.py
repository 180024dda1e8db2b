"""Where payments are kept: PostgreSQL, one row an order.

A row is never touched outside `change`, which lets the calls for one order decide one
after the other. No transaction is open while the provider is asked. The means of payment
is not kept: only the provider ever sees the token.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.common.storage import postgres
from services.payments.domain import Payment, PaymentNotFoundError, PaymentStatus

metadata = sa.MetaData()

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("order_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("payment_id", sa.Uuid(as_uuid=False), nullable=False, unique=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("amount", sa.Numeric(10, 2), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("refunded_amount", sa.Numeric(10, 2), nullable=False),
    sa.Column("decline_reason", sa.Text, nullable=False),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("close_reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("refunded_amount IN (0, amount)", name="refunds_are_whole"),
)

Decide = Callable[[Payment | None], Payment]
"""Given the payment of an order, returns what it shall be."""


class PaymentsRepository(Protocol):
    """Keeps payments, one an order."""

    def find(self, order_id: str) -> Payment:
        """Return the payment of an order; PaymentNotFoundError without one."""

    def change(self, order_id: str, decide: Decide) -> Payment:
        """Apply a decision to the payment of an order, and return what it is then.

        Decisions on one order are taken one after the other; one that raises changes
        nothing.
        """

    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        """Return payments by the id of their order, from an order on; "" is before all."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresPaymentsRepository:
    """Payments in PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, order_id: str) -> Payment:
        """Return the payment of an order; PaymentNotFoundError without one."""
        with postgres.transaction(self._engine) as connection:
            payment = _load(connection, order_id)
        if payment is None:
            raise PaymentNotFoundError(order_id)
        return payment

    def change(self, order_id: str, decide: Decide) -> Payment:
        """Apply a decision to the payment of an order, and return what it is then."""
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, order_id)
            existing = _load(connection, order_id)
            changed = decide(existing)
            if changed != existing:
                _save(connection, changed)
            return changed

    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        """Return payments by the id of their order, from an order on; "" is before all."""
        query = sa.select(payments).order_by(payments.c.order_id).limit(limit)
        if order_id:
            query = query.where(payments.c.order_id >= order_id)
        with postgres.transaction(self._engine) as connection:
            return [_to_payment(row) for row in connection.execute(query)]

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        postgres.ping(self._engine)


def _load(connection: sa.Connection, order_id: str) -> Payment | None:
    query = sa.select(payments).where(payments.c.order_id == order_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _to_payment(row)


def _to_payment(row: sa.Row) -> Payment:
    return Payment(**{**row._mapping, "status": PaymentStatus(row.status)})


def _save(connection: sa.Connection, payment: Payment) -> None:
    values = asdict(payment)
    insert = postgresql.insert(payments).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["order_id"], set_=values))
