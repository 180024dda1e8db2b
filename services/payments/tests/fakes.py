"""Payments and the sandbox's ledger in memory, and hooks that interrupt their calls."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from typing_extensions import override

from services.payments.bulkhead import Bulkhead
from services.payments.domain import (
    ZERO,
    Outcome,
    Payment,
    PaymentNotFoundError,
    PaymentStatus,
    ProviderUnavailableError,
)
from services.payments.processor import PaymentProcessor
from services.payments.provider import PaymentProvider
from services.payments.repository import ChangePayment, PaymentsRepository
from services.payments.sandbox_ledger import ChangeTransaction, Ledger, Transaction

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORDER = "11111111-1111-4111-8111-111111111111"


def build_payment(**changes) -> Payment:
    """Build a pending payment with these changes."""
    payment = Payment(
        payment_id="22222222-2222-4222-8222-222222222222",
        order_id=ORDER,
        user_id="alice",
        status=PaymentStatus.PENDING,
        amount=Decimal("12.90"),
        currency="EUR",
        created_at=NOW,
    )
    return replace(payment, **changes)


def build_voided(**changes) -> Payment:
    """Build the voided payment of an order that had none, with these changes."""
    voided = build_payment(
        payment_id="33333333-3333-4333-8333-333333333333",
        user_id="",
        status=PaymentStatus.VOIDED,
        amount=ZERO,
        currency="",
        close_reason="HOLD_EXPIRED",
    )
    return replace(voided, **changes)


def build_processor(
    repository: PaymentsRepository,
    provider: PaymentProvider,
    *,
    limit: int = 100,
    limit_per_customer: int = 100,
) -> PaymentProcessor:
    """Build a processor whose bulkheads have these limits."""
    captures, refunds = (
        Bulkhead(limit=limit, limit_per_customer=limit_per_customer) for _ in range(2)
    )
    return PaymentProcessor(
        repository=repository, provider=provider, captures=captures, refunds=refunds
    )


class FakeClock:
    """A clock that stands still; `sleep` moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class InMemoryPaymentsRepository(PaymentsRepository):
    """Payments in a dictionary."""

    def __init__(self) -> None:
        self._payments: dict[str, Payment] = {}
        self._lock = threading.Lock()

    @override
    def find(self, order_id: str) -> Payment:
        if order_id not in self._payments:
            raise PaymentNotFoundError(order_id)
        return self._payments[order_id]

    @override
    def change(self, order_id: str, change: ChangePayment) -> Payment:
        with self._lock:
            changed = change(self._payments.get(order_id))
            self._payments[order_id] = changed
            return changed

    @override
    def add(self, payment: Payment) -> bool:
        with self._lock:
            return self._payments.setdefault(payment.order_id, payment) is payment

    @override
    def replace(self, existing: Payment, changed: Payment) -> bool:
        with self._lock:
            is_same = self._payments.get(existing.order_id) == existing
            if is_same:
                self._payments[existing.order_id] = changed
            return is_same

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        return [self._payments[key] for key in sorted(self._payments) if key >= order_id][:limit]

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Payment]:
        return [self._payments[each] for each in order_ids if each in self._payments]

    @override
    def ping(self) -> None:
        pass


class InMemoryLedger(Ledger):
    """The sandbox's ledger in a dictionary."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        self._lock = threading.Lock()

    @override
    def change(self, initial: Transaction, change: ChangeTransaction) -> Transaction:
        with self._lock:
            changed = change(self.transactions.get(initial.key, initial))
            self.transactions[initial.key] = changed
            return changed

    @override
    def add(self, transaction: Transaction) -> bool:
        with self._lock:
            return self.transactions.setdefault(transaction.key, transaction) is transaction


Hook = Callable[[], object]
"""Called before and after each call to a store or to the provider."""


class InterruptedRepository(PaymentsRepository):
    """Calls a hook before and after each write."""

    def __init__(self, repository: PaymentsRepository, hook: Hook) -> None:
        self._repository = repository
        self._hook = hook

    @override
    def find(self, order_id: str) -> Payment:
        return self._repository.find(order_id)

    @override
    def change(self, order_id: str, change: ChangePayment) -> Payment:
        self._hook()
        changed = self._repository.change(order_id, change)
        self._hook()
        return changed

    @override
    def add(self, payment: Payment) -> bool:
        self._hook()
        is_added = self._repository.add(payment)
        self._hook()
        return is_added

    @override
    def replace(self, existing: Payment, changed: Payment) -> bool:
        self._hook()
        is_replaced = self._repository.replace(existing, changed)
        self._hook()
        return is_replaced

    @override
    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        return self._repository.list_from(order_id, limit)

    @override
    def list_of(self, order_ids: Sequence[str]) -> Sequence[Payment]:
        return self._repository.list_of(order_ids)

    @override
    def ping(self) -> None:
        self._repository.ping()


class InterruptedProvider(PaymentProvider):
    """Calls a hook before and after each request."""

    def __init__(self, provider: PaymentProvider, hook: Hook) -> None:
        self._provider = provider
        self._hook = hook

    @override
    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        self._hook()
        outcome = self._provider.capture(key, amount=amount, currency=currency, token=token)
        self._hook()
        return outcome

    @override
    def void(self, key: str) -> Outcome:
        self._hook()
        outcome = self._provider.void(key)
        self._hook()
        return outcome

    @override
    def refund(self, key: str, *, refund_key: str) -> None:
        self._hook()
        self._provider.refund(key, refund_key=refund_key)
        self._hook()


class CrashError(BaseException):
    """Stands for kill -9: no code of the service catches it."""


class AtStep:
    """A hook with an effect at one step, counted from 0."""

    def __init__(self, step: int, effect: Hook) -> None:
        self._steps_left = step
        self._effect = effect

    def __call__(self) -> None:
        self._steps_left -= 1
        if self._steps_left == -1:
            self._effect()


def crash() -> None:
    """Crash the process, as far as a test can."""
    raise CrashError


class Outage:
    """A hook that makes the provider unavailable while `active`."""

    def __init__(self) -> None:
        self.active = False

    def __call__(self) -> None:
        if self.active:
            raise ProviderUnavailableError
