"""Payments and the sandbox's ledger in memory, and ways to disturb what stands on them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.payments.domain import (
    NOTHING,
    Outcome,
    Payment,
    PaymentNotFoundError,
    PaymentStatus,
    ProviderUnavailableError,
)
from services.payments.provider import Decide as DecideTransaction
from services.payments.provider import PaymentProvider, Transaction
from services.payments.repository import Decide, PaymentsRepository

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORDER = "11111111-1111-4111-8111-111111111111"


def build_payment(**changes) -> Payment:
    """Return a payment that is about to begin, changed as told."""
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
    """Return what an order without a payment gets when it is refunded, changed as told."""
    voided = build_payment(
        payment_id="33333333-3333-4333-8333-333333333333",
        user_id="",
        status=PaymentStatus.VOIDED,
        amount=NOTHING,
        currency="",
        close_reason="HOLD_EXPIRED",
    )
    return replace(voided, **changes)


class FakeClock:
    """A clock that stands still until it is moved; as a sleeper it moves itself."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class InMemoryPaymentsRepository:
    """Payments in a dictionary."""

    def __init__(self) -> None:
        self._payments: dict[str, Payment] = {}
        self._lock = threading.Lock()

    def find(self, order_id: str) -> Payment:
        if order_id not in self._payments:
            raise PaymentNotFoundError(order_id)
        return self._payments[order_id]

    def change(self, order_id: str, decide: Decide) -> Payment:
        with self._lock:
            changed = decide(self._payments.get(order_id))
            self._payments[order_id] = changed
            return changed

    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        return [self._payments[key] for key in sorted(self._payments) if key >= order_id][:limit]

    def ping(self) -> None:
        pass


class InMemoryLedger:
    """The sandbox's ledger in a dictionary."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        self._lock = threading.Lock()

    def change(self, opening: Transaction, decide: DecideTransaction) -> Transaction:
        with self._lock:
            changed = decide(self.transactions.get(opening.key, opening))
            self.transactions[opening.key] = changed
            return changed


Step = Callable[[], object]
"""Called before and after each call to a store or to the provider."""


class SteppedRepository:
    """A repository around which something happens."""

    def __init__(self, repository: PaymentsRepository, step: Step) -> None:
        self._repository = repository
        self._step = step

    def find(self, order_id: str) -> Payment:
        return self._repository.find(order_id)

    def change(self, order_id: str, decide: Decide) -> Payment:
        self._step()
        changed = self._repository.change(order_id, decide)
        self._step()
        return changed

    def list_from(self, order_id: str, limit: int) -> Sequence[Payment]:
        return self._repository.list_from(order_id, limit)

    def ping(self) -> None:
        self._repository.ping()


class SteppedProvider:
    """A provider around which something happens."""

    def __init__(self, provider: PaymentProvider, step: Step) -> None:
        self._provider = provider
        self._step = step

    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        self._step()
        outcome = self._provider.capture(key, amount=amount, currency=currency, token=token)
        self._step()
        return outcome

    def void(self, key: str) -> Outcome:
        self._step()
        outcome = self._provider.void(key)
        self._step()
        return outcome

    def refund(self, key: str, *, refund_key: str) -> None:
        self._step()
        self._provider.refund(key, refund_key=refund_key)
        self._step()


class KilledError(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


class Fuse:
    """Does something at one step, the first being number 0; nothing at the others."""

    def __init__(self, burns_at: int, effect: Step) -> None:
        self._left = burns_at
        self._effect = effect

    def __call__(self) -> None:
        self._left -= 1
        if self._left == -1:
            self._effect()


def die() -> None:
    """End the process, as far as a test can."""
    raise KilledError


class Outage:
    """While `away`, no step succeeds."""

    def __init__(self) -> None:
        self.away = False

    def __call__(self) -> None:
        if self.away:
            raise ProviderUnavailableError
