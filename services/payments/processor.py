"""Takes and returns money: writes down the intention, asks the provider, writes the outcome.

Three steps, each of its own: no transaction is open, and no connection held, while the
provider takes its time. A process may die between any two of them, and any number of
calls for one order may be under way at once, in any instance. That is safe because

- the provider is asked under a key that was kept before (the payment's id, and one that
  follows from it for the refund), so all calls and all repeats mean the same transaction;
- outcomes are recorded by decisions that are taken one after the other and of which the
  first counts, so all calls give the same answer.

Concurrent repeats of a call may therefore ask the provider at the same time. Making them
wait for each other would need a lock that is held for the length of a slow call, and that
a dead process might keep.

Nothing works in the background: the provider can only be asked again with the token,
which only the caller has, and the caller repeats until it has an answer. A payment that
nobody asks about any more is finished by the refund that ends every unpaid order.
"""

import structlog

from services.payments import domain
from services.payments.domain import Captured, Payment, PaymentStatus
from services.payments.provider import PaymentProvider
from services.payments.repository import PaymentsRepository

log = structlog.get_logger()


class PaymentProcessor:
    """Carries the payment of an order through, from wherever it stands."""

    def __init__(self, *, repository: PaymentsRepository, provider: PaymentProvider) -> None:
        self._repository = repository
        self._provider = provider

    def process(self, wanted: Payment, *, token: str) -> Payment:
        """Return the payment, CAPTURED or DECLINED.

        PaymentClosedError, PaymentMismatchError; ProviderUnavailableError leaves it PENDING.
        """
        payment = self._repository.change(
            wanted.order_id, lambda existing: domain.begin(existing, wanted)
        )
        if payment.status is PaymentStatus.PENDING:
            payment = self._capture(payment, token)
        return _logged(payment)

    def refund(self, voided: Payment) -> Payment:
        """Return the payment, REFUNDED, VOIDED or DECLINED; `voided` when there was none.

        ProviderUnavailableError leaves it CLOSING.
        """
        payment = self._repository.change(
            voided.order_id, lambda existing: domain.close(existing, voided)
        )
        return _logged(self._finish(payment))

    def _capture(self, payment: Payment, token: str) -> Payment:
        outcome = self._provider.capture(
            payment.payment_id, amount=payment.amount, currency=payment.currency, token=token
        )
        recorded = self._repository.change(
            payment.order_id, lambda existing: domain.record(existing, outcome)
        )
        return domain.require_open(self._finish(recorded))

    def _finish(self, payment: Payment) -> Payment:
        """Return a payment that is being closed when it is closed; others as they are."""
        if payment.status is not PaymentStatus.CLOSING:
            return payment
        outcome = domain.known_outcome(payment) or self._provider.void(payment.payment_id)
        if isinstance(outcome, Captured):
            self._provider.refund(payment.payment_id, refund_key=payment.refund_key)
        return self._repository.change(
            payment.order_id, lambda existing: domain.finish(existing, outcome)
        )


def _logged(payment: Payment) -> Payment:
    log.info(
        "payment_answered",
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=payment.status,
    )
    return payment
