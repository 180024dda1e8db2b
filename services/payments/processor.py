"""Captures and refunds the payment of an order, whatever state an earlier call left it in.

Each call records its intention, asks the provider and records the outcome, in separate
steps: no transaction is open, and no connection held, while the provider works. A process
may die between any two steps, and any number of calls for one order may run concurrently,
in any instance. That is safe because

- the provider is asked under an idempotency key that was recorded before (the payment's id,
  and one derived from it for the refund), so all calls mean the same transaction;
- outcomes are recorded in serialized transitions, of which the first counts, so all calls
  give the same answer.

Concurrent repeats may therefore ask the provider at the same time. To serialize them would
take a lock that is held for the length of a slow call, and that a dead process might keep.

Calls to the provider may be slow. A bulkhead for captures and one for refunds keep threads free
for the calls that need none of it, and for refunds while captures are slow; neither is filled by
one customer alone. A rejected call leaves the payment as it is, as an unavailable provider does.

There is no background worker: a capture needs the token, which only the caller has, and the
caller repeats the call until it is answered. A payment whose caller gave up is completed by
the refund that ends every unpaid order.
"""

import structlog
from prometheus_client import Counter

from services.payments import domain
from services.payments.bulkhead import Bulkhead
from services.payments.domain import Captured, Outcome, Payment, PaymentStatus
from services.payments.provider import PaymentProvider
from services.payments.repository import PaymentsRepository

PROCESSED = Counter(
    "mamie_payments", "Calls to capture or to refund, by the status they led to.", ("status",)
)
for _status in PaymentStatus:
    PROCESSED.labels(_status)

log = structlog.get_logger()


class PaymentProcessor:
    """Captures and refunds payments, each once, through the provider."""

    def __init__(
        self,
        *,
        repository: PaymentsRepository,
        provider: PaymentProvider,
        captures: Bulkhead,
        refunds: Bulkhead,
    ) -> None:
        self._repository = repository
        self._provider = provider
        self._captures = captures
        self._refunds = refunds

    def process(self, requested: Payment, *, token: str) -> Payment:
        """Capture the amount of an order; the payment is CAPTURED or DECLINED.

        PaymentClosedError, PaymentMismatchError. ProviderUnavailableError and
        ProviderBusyError leave it PENDING.
        """
        payment = self._start(requested)
        if payment.status is PaymentStatus.PENDING:
            payment = self._capture(payment, token)
        _log(payment)
        return payment

    def refund(self, voided: Payment) -> Payment:
        """Refund or void the payment of an order; it is REFUNDED, VOIDED or DECLINED.

        An order without a payment gets `voided`. ProviderUnavailableError and
        ProviderBusyError leave it CLOSING.
        """
        payment = self._repository.change(
            voided.order_id, lambda existing: domain.request_refund(existing, voided)
        )
        payment = self._complete_refund(payment)
        _log(payment)
        return payment

    def _start(self, requested: Payment) -> Payment:
        started = domain.start(None, requested)
        if self._repository.add(started):
            return started
        return self._repository.change(  # the call is a repeat
            requested.order_id, lambda existing: domain.start(existing, requested)
        )

    def _capture(self, payment: Payment, token: str) -> Payment:
        """Capture a PENDING payment; PaymentClosedError if it was refunded meanwhile."""
        with self._captures.admit(payment.user_id):
            outcome = self._provider.capture(
                payment.payment_id, amount=payment.amount, currency=payment.currency, token=token
            )
        captured = self._record(payment, outcome)
        return domain.require_open(self._complete_refund(captured))

    def _record(self, payment: Payment, outcome: Outcome) -> Payment:
        captured = domain.record_capture(payment, outcome)
        if self._repository.replace(payment, captured):
            return captured
        return self._repository.change(  # it has changed meanwhile
            payment.order_id, lambda existing: domain.record_capture(existing, outcome)
        )

    def _complete_refund(self, payment: Payment) -> Payment:
        """Void or refund a payment that is CLOSING; any other is returned unchanged."""
        if payment.status is not PaymentStatus.CLOSING:
            return payment
        with self._refunds.admit(payment.user_id):
            outcome = domain.recorded_capture(payment) or self._provider.void(payment.payment_id)
            if isinstance(outcome, Captured):
                self._provider.refund(payment.payment_id, refund_key=payment.refund_key)
        return self._repository.change(
            payment.order_id, lambda existing: domain.complete_refund(existing, outcome)
        )


def _log(payment: Payment) -> None:
    PROCESSED.labels(payment.status).inc()
    log.info(
        "payment_processed",
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=payment.status,
    )
