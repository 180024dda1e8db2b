"""The store of payments: PostgreSQL, one row per order.

Every write takes the lock of its order, which serializes them: `add` and `replace` are one
statement each, for what is usual, `change` is a transaction, for all else. No transaction is open
while the provider is asked. The payment token is not stored; only the provider gets it.
"""

from collections.abc import Callable, Mapping, Sequence
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

_order_id = sa.bindparam("order_id", type_=payments.c.order_id.type)
FIND = sa.select(payments).where(payments.c.order_id == _order_id)
LOAD = postgres.under_lock("order_id", FIND)
_insert = postgresql.insert(payments)
ADD = postgres.under_lock("order_id", _insert.on_conflict_do_nothing())
SAVE = _insert.on_conflict_do_update(index_elements=["order_id"], set_=dict(_insert.excluded))
CHANGING = ("status", "refunded_amount", "decline_reason", "transaction_id", "close_reason")
"""The columns of a payment that change."""
REPLACE = postgres.under_lock(
    "order",
    sa.update(payments)
    .where(
        payments.c.order_id == sa.bindparam("order"),
        *(payments.c[name] == sa.bindparam(f"old_{name}") for name in CHANGING),
    )
    .values({name: sa.bindparam(name) for name in CHANGING}),
)
FIRST_PAGE = sa.select(payments).order_by(payments.c.order_id).limit(sa.bindparam("limit"))
PAGE_FROM = FIRST_PAGE.where(payments.c.order_id >= _order_id)

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

    def add(self, payment: Payment) -> bool:
        """Add the payment of an order that has none; False when it has one."""

    def replace(self, existing: Payment, changed: Payment) -> bool:
        """Replace a payment; False, and nothing is changed, when it is not `existing` any more."""

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
        rows = postgres.read(self._engine, FIND, {"order_id": order_id})
        if not rows:
            raise PaymentNotFoundError(order_id)
        return _to_payment(rows[0])

    @override
    def change(self, order_id: str, change: ChangePayment) -> Payment:
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(LOAD, {"order_id": order_id}).one_or_none()
            existing = _to_payment(row) if row else None
            changed = change(existing)
            if changed != existing:
                connection.execute(SAVE, asdict(changed))
            return changed

    @override
    def add(self, payment: Payment) -> bool:
        return self._changes_row(ADD, asdict(payment))

    @override
    def replace(self, existing: Payment, changed: Payment) -> bool:
        old = {f"old_{name}": getattr(existing, name) for name in CHANGING}
        new = {name: getattr(changed, name) for name in CHANGING}
        return self._changes_row(REPLACE, {"order": existing.order_id} | old | new)

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        page = PAGE_FROM if order_id else FIRST_PAGE
        start = {"order_id": order_id} if order_id else {}
        return [
            _to_payment(row) for row in postgres.read(self._engine, page, {"limit": limit} | start)
        ]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Payment]:
        query = sa.select(payments).where(payments.c.order_id.in_(order_ids))
        with postgres.transaction(self._engine) as connection:
            return [_to_payment(row) for row in connection.execute(query)]

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)

    def _changes_row(self, statement: sa.Executable, values: Mapping[str, object]) -> bool:
        """Execute one statement in a transaction of its own; return whether it changed a row."""
        with postgres.autocommit(self._engine) as connection:
            return connection.execute(statement, values).rowcount > 0


def _to_payment(row: sa.Row) -> Payment:
    values = dict(zip(payments.c.keys(), row, strict=True))
    return Payment(**values | {"status": PaymentStatus(row.status)})
