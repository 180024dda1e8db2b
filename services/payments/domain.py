"""The payment of an order: its states and the transitions between them.

An order is paid once. The intention is recorded before the provider is asked, and its answer
afterwards. So if the process dies in between, the next call for the same order knows what may
have happened, and repeats the request under the same idempotency key, without a second effect.

    (none) --process--> PENDING --the provider declines--> DECLINED
      |                  |   |
      |           refund |   +--the provider captures--> CAPTURED
      | refund           v                                  |
      |               CLOSING <-----------refund------------+
      v                |   |
    VOIDED <-----------+   +-----------> REFUNDED
        no money was captured    it was, and is refunded

CLOSING keeps money from being lost: from then on the order must not be paid. A capture that
was in flight is refunded when its answer arrives, or rejected by the provider, whichever
comes first. Callers see CLOSING as PENDING. An order of 0.00 becomes CAPTURED, and REFUNDED,
without a request to the provider.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)

ZERO = Decimal("0.00")


class PaymentNotFoundError(NotFoundError):
    """The order has no payment."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no payment of order {order_id}.", orderId=order_id)


class PaymentClosedError(FailedPreconditionError):
    """The payment was refunded or voided, or is about to be; it cannot be captured again."""

    reason = "PAYMENT_CLOSED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The payment of order {order_id} was closed.", orderId=order_id)


class PaymentMismatchError(AlreadyExistsError):
    """The order has a payment of another amount already."""

    reason = "PAYMENT_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} has another amount to pay.", orderId=order_id)


class ProviderUnavailableError(UnavailableError):
    """The provider does not answer, or not in time: the outcome is unknown."""

    reason = "PROVIDER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The payment provider does not answer; repeat the call in a moment.")


class ProviderBusyError(ResourceExhaustedError):
    """Too many calls to the provider are in flight, in all or of one customer.

    Nothing was sent to the provider.
    """

    reason = "PROVIDER_BUSY"

    def __init__(self) -> None:
        super().__init__("Too many payments wait for the provider; repeat the call in a moment.")


class PaymentStatus(StrEnum):
    """The state of a payment; see the diagram above."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CLOSING = "CLOSING"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The payment of one order. Amounts have two digits.

    `transaction_id` is the provider's id of it, as soon as the capture is known.
    """

    payment_id: str
    order_id: str
    user_id: str
    status: PaymentStatus
    amount: Decimal
    currency: str
    created_at: datetime
    refunded_amount: Decimal = ZERO
    decline_reason: str = ""
    transaction_id: str = ""
    close_reason: str = ""

    @property
    def is_closed(self) -> bool:
        """Return whether the order must not be paid any more."""
        return self.status in (PaymentStatus.CLOSING, PaymentStatus.REFUNDED, PaymentStatus.VOIDED)

    @property
    def refund_key(self) -> str:
        """Return the idempotency key of its refund."""
        return f"{self.payment_id}:refund"


@dataclass(frozen=True)
class Captured:
    """The provider captured the money (and may have refunded it since)."""

    transaction_id: str


@dataclass(frozen=True)
class Declined:
    """The provider declined; no money was captured."""

    reason: str


@dataclass(frozen=True)
class Voided:
    """The provider voided the key: no money was captured under it, and none ever will be."""


Outcome = Captured | Declined | Voided
"""The provider's answer about one key."""


def start(existing: Payment | None, requested: Payment) -> Payment:
    """Start a payment; a repeat changes nothing, an order of 0.00 is captured at once.

    PaymentClosedError, PaymentMismatchError.
    """
    if existing is None:
        return requested if requested.amount else replace(requested, status=PaymentStatus.CAPTURED)
    require_open(existing)
    if (existing.amount, existing.currency) != (requested.amount, requested.currency):
        raise PaymentMismatchError(existing.order_id)
    return existing


def record_capture(existing: Payment | None, outcome: Outcome) -> Payment:
    """Record the provider's answer to a capture; the first answer counts.

    A payment that is CLOSING learns which transaction to refund.
    """
    assert existing is not None
    if existing.status is PaymentStatus.PENDING:
        return _with_outcome(existing, outcome)
    if existing.status is PaymentStatus.CLOSING and isinstance(outcome, Captured):
        return replace(existing, transaction_id=outcome.transaction_id)
    return existing


def _with_outcome(pending: Payment, outcome: Outcome) -> Payment:
    match outcome:
        case Captured(transaction_id):
            return replace(pending, status=PaymentStatus.CAPTURED, transaction_id=transaction_id)
        case Declined(reason):
            return replace(pending, status=PaymentStatus.DECLINED, decline_reason=reason)
        case Voided():
            return replace(pending, status=PaymentStatus.VOIDED)


def request_refund(existing: Payment | None, voided: Payment) -> Payment:
    """Request a refund; an order without a payment gets `voided`, so that it is never paid.

    Where money was or may have been captured, this records the intention: CLOSING.
    """
    if existing is None:
        return voided
    if existing.status not in (PaymentStatus.PENDING, PaymentStatus.CAPTURED):
        return existing
    status = PaymentStatus.CLOSING if existing.amount else PaymentStatus.REFUNDED
    return replace(existing, status=status, close_reason=voided.close_reason)


def complete_refund(existing: Payment | None, outcome: Outcome) -> Payment:
    """Complete a payment that is CLOSING; the first outcome counts.

    `outcome` is that of the capture; if Captured, the provider has refunded it.
    """
    assert existing is not None
    if existing.status is not PaymentStatus.CLOSING:
        return existing
    if not isinstance(outcome, Captured):
        return replace(existing, status=PaymentStatus.VOIDED)
    return replace(
        existing,
        status=PaymentStatus.REFUNDED,
        refunded_amount=existing.amount,
        transaction_id=outcome.transaction_id,
    )


def recorded_capture(payment: Payment) -> Captured | None:
    """Return the capture of a payment, if it is recorded; only the provider knows otherwise."""
    return Captured(payment.transaction_id) if payment.transaction_id else None


def require_open(payment: Payment) -> Payment:
    """Return a payment that is not closed; PaymentClosedError if it is."""
    if payment.is_closed:
        raise PaymentClosedError(payment.order_id)
    return payment
