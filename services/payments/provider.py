"""Who really takes the money: the provider's interface, and the built-in sandbox.

Whatever provider is used, its adapter must keep three promises, on which payments rely
to take money once and never to keep it for a closed order:

- a key has one outcome, however often and from wherever it is asked for;
- voiding a key and capturing under it exclude each other: one comes first, for good;
- a refund happens once per transaction.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.mesh.channels import remaining_timeout
from services.common.storage import postgres
from services.payments.domain import (
    NOTHING,
    Captured,
    Closed,
    Declined,
    Outcome,
    ProviderUnavailableError,
)

metadata = sa.MetaData()

transactions = sa.Table(
    "sandbox_transactions",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("transaction_id", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount", sa.Numeric(10, 2), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("settles_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("decline_reason", sa.Text, nullable=False),
    sa.Column("refund_key", sa.Text, nullable=False),
)


class PaymentProvider(Protocol):
    """Takes and returns money. `key` names one capture, for good.

    ProviderUnavailableError from any of these: the outcome is unknown; ask again.
    """

    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        """Take the money once, and say what became of it; Closed when the key was voided."""

    def void(self, key: str) -> Outcome:
        """See that no money is taken under a key from now on, known or not.

        Captured when it was taken before: then it has to be refunded.
        """

    def refund(self, key: str, *, refund_key: str) -> None:
        """Return all that was captured under a key, once for all repeats of `refund_key`."""


class RefundRefusedError(Exception):
    """There is nothing to refund: our records and the provider's differ, which is a bug."""


class TransactionState(StrEnum):
    """Where a transaction of the sandbox stands. Only CAPTURED means that it has the money."""

    ACCEPTED = "ACCEPTED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """What the sandbox knows of one key. One that is ACCEPTED is captured at `settles_at`."""

    key: str
    transaction_id: str
    state: TransactionState
    amount: Decimal
    currency: str
    settles_at: datetime
    decline_reason: str = ""
    refund_key: str = ""


Decide = Callable[[Transaction], Transaction]
"""Given what a key stands for, returns what it shall stand for."""

TOKENS: Mapping[str, str] = {
    "tok_ok": "",
    "tok_slow": "",
    "tok_declined": "CARD_DECLINED",
    "tok_insufficient_funds": "INSUFFICIENT_FUNDS",
}
"""Why the sandbox refuses a token; it takes money from those with an empty reason."""


class Ledger(Protocol):
    """Keeps the transactions of the sandbox, each under its key."""

    def change(self, opening: Transaction, decide: Decide) -> Transaction:
        """Keep `opening` unless its key is known, then apply a decision, in one step."""


class SandboxProvider:
    """A provider whose answers follow from the token; no money moves.

    tok_ok captures; tok_slow captures after `slow_seconds`; tok_declined and
    tok_insufficient_funds decline; tok_error is never reached; every other is declined as
    INVALID_TOKEN. What was accepted goes on without us: a slow capture that we did not wait
    for is there when we ask again. A call takes at most `timeout_seconds`, and at most what
    is left of the call that is being answered.

    The sandbox stands for a remote service with a database of its own. That is why it has
    a table and transactions of its own, which know nothing of payments, and why what it has
    once said outlives any process of ours.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        slow_seconds: float,
        timeout_seconds: float,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        new_id: NewId = new_id,
    ) -> None:
        self._ledger = ledger
        self._slow = timedelta(seconds=slow_seconds)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._sleep = sleep
        self._new_id = new_id

    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        """Take the money once, and say what became of it; Closed when the key was voided."""
        if token == "tok_error":  # noqa: S105 - a name, not a secret
            raise ProviderUnavailableError
        give_up_at = self._give_up_at()
        accepted = replace(self._open(key, token), amount=amount, currency=currency)
        transaction = self._ledger.change(accepted, self._settle)
        while transaction.state is TransactionState.ACCEPTED:
            self._wait_until(transaction.settles_at, give_up_at)
            transaction = self._ledger.change(accepted, self._settle)
        return _outcome(transaction)

    def void(self, key: str) -> Outcome:
        """See that no money is taken under a key from now on; Captured when it was before."""
        return _outcome(self._ledger.change(self._tombstone(key), self._void))

    def refund(self, key: str, *, refund_key: str) -> None:
        """Return all that was captured under a key, once for all repeats of `refund_key`."""
        self._ledger.change(self._tombstone(key), lambda existing: _refund(existing, refund_key))

    def _open(self, key: str, token: str) -> Transaction:
        slow = token == "tok_slow"  # noqa: S105 - a name, not a secret
        reason = TOKENS.get(token, "INVALID_TOKEN")
        return replace(
            self._tombstone(key),
            state=TransactionState.DECLINED if reason else TransactionState.ACCEPTED,
            settles_at=self._clock() + (self._slow if slow else timedelta()),
            decline_reason=reason,
        )

    def _tombstone(self, key: str) -> Transaction:
        """Return what a key becomes that is voided before anything was asked under it."""
        return Transaction(
            key=key,
            transaction_id=f"sandbox_{self._new_id()}",
            state=TransactionState.VOIDED,
            amount=NOTHING,
            currency="",
            settles_at=self._clock(),
        )

    def _settle(self, existing: Transaction) -> Transaction:
        """Capture what is due."""
        due = existing.settles_at <= self._clock()
        if existing.state is TransactionState.ACCEPTED and due:
            return replace(existing, state=TransactionState.CAPTURED)
        return existing

    def _void(self, existing: Transaction) -> Transaction:
        settled = self._settle(existing)
        if settled.state is TransactionState.ACCEPTED:
            return replace(settled, state=TransactionState.VOIDED)
        return settled

    def _give_up_at(self) -> datetime:
        left = remaining_timeout(current(), self._timeout_seconds)
        return self._clock() + timedelta(seconds=left or 0)

    def _wait_until(self, settles_at: datetime, give_up_at: datetime) -> None:
        """Wait; ProviderUnavailableError when it is time to give up before."""
        wait = min(settles_at, give_up_at) - self._clock()
        self._sleep(max(0.0, wait.total_seconds()))
        if give_up_at < settles_at:
            raise ProviderUnavailableError


def _refund(existing: Transaction, refund_key: str) -> Transaction:
    if existing.state is TransactionState.CAPTURED:
        return replace(existing, state=TransactionState.REFUNDED, refund_key=refund_key)
    if existing.refund_key != refund_key:
        raise RefundRefusedError(f"transaction {existing.transaction_id} is {existing.state}")
    return existing


def _outcome(transaction: Transaction) -> Outcome:
    if transaction.state is TransactionState.VOIDED:
        return Closed()
    if transaction.state is TransactionState.DECLINED:
        return Declined(transaction.decline_reason)
    return Captured(transaction.transaction_id)


class PostgresLedger:
    """The sandbox's ledger in PostgreSQL: changes of one key wait for each other at its row."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def change(self, opening: Transaction, decide: Decide) -> Transaction:
        """Keep `opening` unless its key is known, then apply a decision, in one step."""
        try:
            with postgres.transaction(self._engine) as connection:
                return _change(connection, opening, decide)
        except StoreUnavailableError as error:
            raise ProviderUnavailableError from error


def _change(connection: sa.Connection, opening: Transaction, decide: Decide) -> Transaction:
    insert = postgresql.insert(transactions).values(asdict(opening))
    connection.execute(insert.on_conflict_do_nothing(index_elements=["key"]))
    one = transactions.c.key == opening.key
    row = connection.execute(sa.select(transactions).where(one).with_for_update()).one()
    existing = _to_transaction(row)
    changed = decide(existing)
    if changed != existing:
        connection.execute(sa.update(transactions).where(one).values(asdict(changed)))
    return changed


def _to_transaction(row: sa.Row) -> Transaction:
    return Transaction(**{**row._mapping, "state": TransactionState(row.state)})
