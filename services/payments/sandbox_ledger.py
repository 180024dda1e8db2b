"""The transactions of the sandbox provider, in a table that belongs to it alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

_insert = postgresql.insert(transactions)
ADD = _insert.on_conflict_do_nothing(index_elements=["key"])
# An update, so that a row that exists is locked and returned too.
ADD_OR_LOCK = _insert.on_conflict_do_update(
    index_elements=["key"], set_={"key": _insert.excluded.key}
).returning(transactions)
SAVE = (
    sa.update(transactions)
    .where(transactions.c.key == sa.bindparam("of_key"))
    .values({each.key: sa.bindparam(each.key) for each in transactions.c if each.key != "key"})
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

    def add(self, transaction: Transaction) -> bool:
        """Add a transaction; False when its key exists."""


class PostgresLedger(Ledger):
    """The ledger in PostgreSQL; a row lock serializes the changes of one key."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @override
    def change(self, initial: Transaction, change: ChangeTransaction) -> Transaction:
        with _provider_errors(), postgres.transaction(self._engine) as connection:
            row = connection.execute(ADD_OR_LOCK, asdict(initial)).one()
            existing = _to_transaction(row)
            changed = change(existing)
            if changed != existing:
                connection.execute(SAVE, asdict(changed) | {"of_key": initial.key})
            return changed

    @override
    def add(self, transaction: Transaction) -> bool:
        with _provider_errors(), postgres.autocommit(self._engine) as connection:
            return connection.execute(ADD, asdict(transaction)).rowcount > 0


@contextmanager
def _provider_errors() -> Iterator[None]:
    """Let an unavailable store of the provider be an unavailable provider."""
    try:
        yield
    except StoreUnavailableError as error:
        raise ProviderUnavailableError from error


def _to_transaction(row: sa.Row) -> Transaction:
    values = dict(zip(transactions.c.keys(), row, strict=True))
    return Transaction(**values | {"state": TransactionState(row.state)})
