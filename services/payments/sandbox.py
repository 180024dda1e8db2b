"""The built-in sandbox provider: its outcomes depend on the token; no money moves."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from typing_extensions import override

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import current
from services.common.mesh.channels import remaining_timeout
from services.payments.domain import (
    ZERO,
    Captured,
    Declined,
    Outcome,
    ProviderUnavailableError,
    Voided,
)
from services.payments.provider import PaymentProvider, RefundRejectedError
from services.payments.sandbox_ledger import Ledger, Transaction, TransactionState

SLOW = "tok_slow"
UNAVAILABLE = "tok_error"
DECLINE_REASONS: Mapping[str, str] = {
    "tok_ok": "",
    SLOW: "",
    "tok_declined": "CARD_DECLINED",
    "tok_insufficient_funds": "INSUFFICIENT_FUNDS",
}
"""Why the sandbox declines a token; an empty reason captures, an unknown token is invalid."""


class SandboxProvider(PaymentProvider):
    """A provider whose outcomes depend on the token.

    tok_ok captures; tok_slow captures after `slow_seconds`; tok_declined and
    tok_insufficient_funds decline; tok_error is always unavailable; any other token is
    declined as INVALID_TOKEN. An accepted transaction continues without its caller: a slow
    capture whose call timed out is captured when the call is repeated. A call takes at most
    `timeout_seconds`, and at most the rest of the current deadline.

    The sandbox stands for a remote service with a database of its own. So it has its own
    table and transactions, separate from payments, and its outcomes survive our processes.
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

    @override
    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        if token == UNAVAILABLE:
            raise ProviderUnavailableError
        deadline = self._deadline()
        requested = self._new_transaction(key, token, amount, currency)
        transaction = self._capture_if_due(requested)
        if not self._ledger.add(transaction):  # the key was requested before
            transaction = self._ledger.change(requested, self._capture_if_due)
        while transaction.state is TransactionState.ACCEPTED:
            self._wait_until(transaction.capture_at, deadline)
            transaction = self._ledger.change(requested, self._capture_if_due)
        return _outcome(transaction)

    @override
    def void(self, key: str) -> Outcome:
        return _outcome(self._ledger.change(self._voided_transaction(key), self._void))

    @override
    def refund(self, key: str, *, refund_key: str) -> None:
        self._ledger.change(
            self._voided_transaction(key), lambda existing: _refund(existing, refund_key)
        )

    def _new_transaction(self, key: str, token: str, amount: Decimal, currency: str) -> Transaction:
        reason = DECLINE_REASONS.get(token, "INVALID_TOKEN")
        return replace(
            self._voided_transaction(key),
            state=TransactionState.DECLINED if reason else TransactionState.ACCEPTED,
            amount=amount,
            currency=currency,
            capture_at=self._clock() + (self._slow if token == SLOW else timedelta()),
            decline_reason=reason,
        )

    def _voided_transaction(self, key: str) -> Transaction:
        """Build the transaction of a key that is voided before any capture under it."""
        return Transaction(
            key=key,
            transaction_id=f"sandbox_{self._new_id()}",
            state=TransactionState.VOIDED,
            amount=ZERO,
            currency="",
            capture_at=self._clock(),
        )

    def _capture_if_due(self, existing: Transaction) -> Transaction:
        due = existing.capture_at <= self._clock()
        if existing.state is TransactionState.ACCEPTED and due:
            return replace(existing, state=TransactionState.CAPTURED)
        return existing

    def _void(self, existing: Transaction) -> Transaction:
        """Void a transaction, unless its capture was due before."""
        transaction = self._capture_if_due(existing)
        if transaction.state is TransactionState.ACCEPTED:
            return replace(transaction, state=TransactionState.VOIDED)
        return transaction

    def _deadline(self) -> datetime:
        timeout = remaining_timeout(current(), self._timeout_seconds)
        return self._clock() + timedelta(seconds=timeout or 0)

    def _wait_until(self, moment: datetime, deadline: datetime) -> None:
        """Wait until `moment`, or until the deadline and raise ProviderUnavailableError."""
        wait = min(moment, deadline) - self._clock()
        self._sleep(max(0.0, wait.total_seconds()))
        if deadline < moment:
            raise ProviderUnavailableError


def _refund(existing: Transaction, refund_key: str) -> Transaction:
    if existing.state is TransactionState.CAPTURED:
        return replace(existing, state=TransactionState.REFUNDED, refund_key=refund_key)
    if existing.refund_key != refund_key:
        raise RefundRejectedError(f"transaction {existing.transaction_id} is {existing.state}")
    return existing


def _outcome(transaction: Transaction) -> Outcome:
    if transaction.state is TransactionState.VOIDED:
        return Voided()
    if transaction.state is TransactionState.DECLINED:
        return Declined(transaction.decline_reason)
    return Captured(transaction.transaction_id)
