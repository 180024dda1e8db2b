"""The store of payments: PostgreSQL, one row per order.

Rows are written only by `change`, which serializes the calls for one order. No transaction
is open while the provider is asked. The payment token is not stored; only the provider gets
it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.common.storage import postgres
from services.payments.domain import Payment, PaymentNotFoundError, PaymentStatus

payments = sa.Table(
    "payments",
    sa.MetaData(),
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

ChangePayment = Callable[[Payment | None], Payment]
"""Maps the payment of an order, None if it has none, to the new one."""


class PaymentsRepository(Protocol):
    """Stores payments, one per order."""

    def find(self, order_id: str) -> Payment:
        """Return the payment of an order; PaymentNotFoundError without one."""

    def change(self, order_id: str, change: ChangePayment) -> Payment:
        """Apply a change to the payment of an order and return the new one.

        Changes of one order are serialized; one that raises has no effect.
        """

    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        """List payments by order id, beginning with `order_id`; "" is before all."""

    def list_of(self, order_ids: Sequence[str]) -> Sequence[Payment]:
        """Return the payments of some orders, in any order."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresPaymentsRepository(PaymentsRepository):
    """Payments in PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @override
    def find(self, order_id: str) -> Payment:
        with postgres.transaction(self._engine) as connection:
            payment = _load(connection, order_id)
        if payment is None:
            raise PaymentNotFoundError(order_id)
        return payment

    @override
    def change(self, order_id: str, change: ChangePayment) -> Payment:
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, order_id)
            existing = _load(connection, order_id)
            changed = change(existing)
            if changed != existing:
                _save(connection, changed)
            return changed

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        query = sa.select(payments).order_by(payments.c.order_id).limit(limit)
        if order_id:
            query = query.where(payments.c.order_id >= order_id)
        with postgres.transaction(self._engine) as connection:
            return [_to_payment(row) for row in connection.execute(query)]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Payment]:
        query = sa.select(payments).where(payments.c.order_id.in_(order_ids))
        with postgres.transaction(self._engine) as connection:
            return [_to_payment(row) for row in connection.execute(query)]

    @override
    def ping(self) -> None:
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
