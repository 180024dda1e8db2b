"""The transactions of the sandbox provider, in a table that belongs to it alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres
from services.payments.domain import ProviderUnavailableError

transactions = sa.Table(
    "sandbox_transactions",
    sa.MetaData(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("transaction_id", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount", sa.Numeric(10, 2), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("settles_at", sa.DateTime(timezone=True), key="capture_at", nullable=False),
    sa.Column("decline_reason", sa.Text, nullable=False),
    sa.Column("refund_key", sa.Text, nullable=False),
)


class TransactionState(StrEnum):
    """The state of a sandbox transaction. The sandbox has the money only in CAPTURED."""

    ACCEPTED = "ACCEPTED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """The transaction of one key. One that is ACCEPTED is captured at `capture_at`."""

    key: str
    transaction_id: str
    state: TransactionState
    amount: Decimal
    currency: str
    capture_at: datetime
    decline_reason: str = ""
    refund_key: str = ""


ChangeTransaction = Callable[[Transaction], Transaction]
"""Maps the transaction of a key to the new one."""


class Ledger(Protocol):
    """Stores the transactions of the sandbox by their key."""

    def change(self, initial: Transaction, change: ChangeTransaction) -> Transaction:
        """Add `initial` unless its key exists, then apply a change, atomically.

        Changes of one key are serialized.
        """


class PostgresLedger(Ledger):
    """The ledger in PostgreSQL; a row lock serializes the changes of one key."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @override
    def change(self, initial: Transaction, change: ChangeTransaction) -> Transaction:
        try:
            with postgres.transaction(self._engine) as connection:
                return _change(connection, initial, change)
        except StoreUnavailableError as error:
            raise ProviderUnavailableError from error


def _change(
    connection: sa.Connection, initial: Transaction, change: ChangeTransaction
) -> Transaction:
    insert = postgresql.insert(transactions).values(asdict(initial))
    connection.execute(insert.on_conflict_do_nothing(index_elements=["key"]))
    same_key = transactions.c.key == initial.key
    row = connection.execute(sa.select(transactions).where(same_key).with_for_update()).one()
    existing = _to_transaction(row)
    changed = change(existing)
    if changed != existing:
        connection.execute(sa.update(transactions).where(same_key).values(asdict(changed)))
    return changed


def _to_transaction(row: sa.Row) -> Transaction:
    values = dict(zip(transactions.c.keys(), row, strict=True))
    return Transaction(**values | {"state": TransactionState(row.state)})
