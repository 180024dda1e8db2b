"""What the orders service asks of the payments."""

from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.money import format_amount, parse_amount
from services.common.rpc.paging import read_page
from services.payments.domain import NOTHING, Payment, PaymentStatus
from services.payments.processor import PaymentProcessor
from services.payments.provider import PaymentProvider
from services.payments.repository import PaymentsRepository


class PaymentsServicer(payments_pb2_grpc.PaymentsServiceServicer):
    """Takes and returns money, once per order."""

    def __init__(
        self,
        *,
        repository: PaymentsRepository,
        provider: PaymentProvider,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._cashier = PaymentProcessor(repository=repository, provider=provider)
        self._clock = clock
        self._new_id = new_id

    def ProcessPayment(self, request, context):
        """Capture the amount of an order."""
        wanted = Payment(
            payment_id=self._new_id(),
            order_id=_order_id(request),
            user_id=request.user_id,
            status=PaymentStatus.PENDING,
            amount=parse_amount(request.amount),
            currency=request.currency,
            created_at=self._clock(),
        )
        return _render(self._cashier.process(wanted, token=request.payment_token))

    def RefundPayment(self, request, context):
        """Return the captured amount of an order, or see that none is ever captured."""
        voided = Payment(
            payment_id=self._new_id(),
            order_id=_order_id(request),
            user_id="",
            status=PaymentStatus.VOIDED,
            amount=NOTHING,
            currency="",
            created_at=self._clock(),
            close_reason=request.reason,
        )
        return _render(self._cashier.refund(voided))

    def GetPayment(self, request, context):
        """Return the payment of an order."""
        return _render(self._repository.find(_order_id(request)))

    def ListPayments(self, request, context):
        """List all payments by the id of their order."""
        page, following = read_page(request, self._repository.list_from)
        return payments_pb2.ListPaymentsResponse(
            payments=map(_render, page), next_page_token=following
        )


def _order_id(request) -> str:
    """Return the order as the store spells it: ids are compared without case."""
    return request.order_id.lower()


def _render(payment: Payment) -> payments_pb2.Payment:
    return payments_pb2.Payment(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        status=_render_status(payment.status),
        amount=format_amount(payment.amount),
        refunded_amount=format_amount(payment.refunded_amount),
        currency=payment.currency,
        decline_reason=payment.decline_reason,
        transaction_id=payment.transaction_id,
        create_time=payment.created_at,
    )


def _render_status(status: PaymentStatus) -> str:
    """Return a status as callers know it: what is being closed is not decided for them."""
    return PaymentStatus.PENDING if status is PaymentStatus.CLOSING else status
