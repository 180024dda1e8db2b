"""What payments know: where the payment of an order stands, and what may become of it.

An order is paid once. What will be done is written down before the provider is asked,
and what the provider answered afterwards; so whatever dies in between, the next call for
the same order knows what may have happened, and asks the provider again under the same
key, which has no second effect.

    (none) --process--> PENDING --the provider refuses--> DECLINED
      |                  |   |
      |           refund |   +--the provider takes it--> CAPTURED
      | refund           v                                  |
      |               CLOSING <-----------refund------------+
      v                |   |
    VOIDED <-----------+   +-----------> REFUNDED
        no money was taken    it was, and is returned

CLOSING is what keeps money from being lost: from then on the order shall not be paid. A
capture that was on its way meanwhile is refunded when its answer arrives, or refused by
the provider, whichever comes first. Callers see CLOSING as PENDING. An order of 0.00 is
CAPTURED, and REFUNDED, without asking the provider.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)

NOTHING = Decimal("0.00")


class PaymentNotFoundError(NotFoundError):
    """Nobody ever asked for a payment of the order."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no payment of order {order_id}.", orderId=order_id)


class PaymentClosedError(FailedPreconditionError):
    """The order was refunded or voided, for good."""

    reason = "PAYMENT_CLOSED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The payment of order {order_id} was closed.", orderId=order_id)


class PaymentMismatchError(AlreadyExistsError):
    """The order has a payment of another amount already."""

    reason = "PAYMENT_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} has another amount to pay.", orderId=order_id)


class ProviderUnavailableError(UnavailableError):
    """The provider cannot be reached, or has not answered in time: the outcome is unknown."""

    reason = "PROVIDER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The payment provider does not answer; repeat the call in a moment.")


class PaymentStatus(StrEnum):
    """Where a payment stands; see the module's picture."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CLOSING = "CLOSING"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The payment of one order. Amounts have two digits.

    `transaction_id` is the provider's name for it, as soon as money is known to be taken.
    """

    payment_id: str
    order_id: str
    user_id: str
    status: PaymentStatus
    amount: Decimal
    currency: str
    created_at: datetime
    refunded_amount: Decimal = NOTHING
    decline_reason: str = ""
    transaction_id: str = ""
    close_reason: str = ""

    @property
    def is_closed(self) -> bool:
        """Return whether the order shall not be paid any more."""
        return self.status in (PaymentStatus.CLOSING, PaymentStatus.REFUNDED, PaymentStatus.VOIDED)

    @property
    def refund_key(self) -> str:
        """Return the key under which its refund is asked for, however often."""
        return f"{self.payment_id}:refund"


@dataclass(frozen=True)
class Captured:
    """The provider took the money (it may have returned it since)."""

    transaction_id: str


@dataclass(frozen=True)
class Declined:
    """The provider refused; no money was taken."""

    reason: str


@dataclass(frozen=True)
class Closed:
    """The provider has voided the key: no money was taken under it, and none ever will be."""


Outcome = Captured | Declined | Closed
"""What the provider says about one key."""


def begin(existing: Payment | None, wanted: Payment) -> Payment:
    """Decide on taking money; a repeat changes nothing, an order of 0.00 is paid at once."""
    if existing is None:
        return wanted if wanted.amount else replace(wanted, status=PaymentStatus.CAPTURED)
    require_open(existing)
    if (existing.amount, existing.currency) != (wanted.amount, wanted.currency):
        raise PaymentMismatchError(existing.order_id)
    return existing


def record(existing: Payment | None, outcome: Outcome) -> Payment:
    """Decide on what the provider answered to a capture; the first answer counts.

    When the payment is being closed, it learns which transaction there is to refund.
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
        case Closed():
            return replace(pending, status=PaymentStatus.VOIDED)


def close(existing: Payment | None, voided: Payment) -> Payment:
    """Decide on returning money; an order without a payment gets `voided`, and will have none.

    Where money was, or may have been taken, only the intention is decided: CLOSING.
    """
    if existing is None:
        return voided
    if existing.status not in (PaymentStatus.PENDING, PaymentStatus.CAPTURED):
        return existing
    status = PaymentStatus.CLOSING if existing.amount else PaymentStatus.REFUNDED
    return replace(existing, status=status, close_reason=voided.close_reason)


def finish(existing: Payment | None, outcome: Outcome) -> Payment:
    """Decide on what became of a payment that is being closed; the first answer counts.

    `outcome` is what the provider said of the capture; if Captured, it has been refunded.
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


def known_outcome(payment: Payment) -> Outcome | None:
    """Return what is known of a capture without asking the provider."""
    return Captured(payment.transaction_id) if payment.transaction_id else None


def require_open(payment: Payment) -> Payment:
    """Return a payment that is not closed; PaymentClosedError if it is."""
    if payment.is_closed:
        raise PaymentClosedError(payment.order_id)
    return payment
