"""The payment provider: what an adapter of any provider must offer.

Payments rely on three guarantees of it, to capture money once and never to keep it for a
closed order:

- a key has one outcome, however often and from whichever process it is requested;
- voiding a key and capturing under it exclude each other: the first one wins, permanently;
- a transaction is refunded once.
"""

from decimal import Decimal
from typing import Protocol

from services.payments.domain import Outcome


class RefundRejectedError(Exception):
    """There is nothing to refund: our records and the provider's differ, which is a bug."""


class PaymentProvider(Protocol):
    """Captures, voids and refunds. `key` is the idempotency key of one capture.

    ProviderUnavailableError from any of these: the outcome is unknown; repeat the call.
    """

    def capture(self, key: str, *, amount: Decimal, currency: str, token: str) -> Outcome:
        """Capture the money once, and return the outcome; Voided when the key was voided."""

    def void(self, key: str) -> Outcome:
        """Make sure that no money is captured under a key from now on, known or not.

        Captured when it was captured before: then it has to be refunded.
        """

    def refund(self, key: str, *, refund_key: str) -> None:
        """Refund all that was captured under a key, once for all repeats of `refund_key`.

        RefundRejectedError when nothing was captured, or another `refund_key` refunded it.
        """
