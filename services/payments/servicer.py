"""PaymentsService, the internal API that orders and the reconciliation call."""

import grpc
from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc
from typing_extensions import override

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.money import format_amount, parse_amount
from services.common.rpc.paging import read_page
from services.common.rpc.timestamps import to_timestamp
from services.payments.domain import ZERO, Payment, PaymentStatus
from services.payments.processor import PaymentProcessor
from services.payments.repository import PaymentsRepository


class PaymentsServicer(payments_pb2_grpc.PaymentsServiceServicer):
    """Captures and refunds payments, once per order."""

    def __init__(
        self,
        *,
        repository: PaymentsRepository,
        processor: PaymentProcessor,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._processor = processor
        self._clock = clock
        self._new_id = new_id

    @override
    def ProcessPayment(
        self, request: payments_pb2.ProcessPaymentRequest, context: grpc.ServicerContext
    ) -> payments_pb2.Payment:
        requested = Payment(
            payment_id=self._new_id(),
            order_id=_canonical_id(request.order_id),
            user_id=request.user_id,
            status=PaymentStatus.PENDING,
            amount=parse_amount(request.amount),
            currency=request.currency,
            created_at=self._clock(),
        )
        return _render(self._processor.process(requested, token=request.payment_token))

    @override
    def RefundPayment(
        self, request: payments_pb2.RefundPaymentRequest, context: grpc.ServicerContext
    ) -> payments_pb2.Payment:
        voided = Payment(
            payment_id=self._new_id(),
            order_id=_canonical_id(request.order_id),
            user_id="",
            status=PaymentStatus.VOIDED,
            amount=ZERO,
            currency="",
            created_at=self._clock(),
            close_reason=request.reason,
        )
        return _render(self._processor.refund(voided))

    @override
    def GetPayment(
        self, request: payments_pb2.GetPaymentRequest, context: grpc.ServicerContext
    ) -> payments_pb2.Payment:
        return _render(self._repository.find(_canonical_id(request.order_id)))

    @override
    def ListPayments(
        self, request: payments_pb2.ListPaymentsRequest, context: grpc.ServicerContext
    ) -> payments_pb2.ListPaymentsResponse:
        page, next_page_token = read_page(request, self._repository)
        return payments_pb2.ListPaymentsResponse(
            payments=map(_render, page), next_page_token=next_page_token
        )


def _canonical_id(order_id: str) -> str:
    """Return the id of an order in lower case, as it is stored."""
    return order_id.lower()


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
        create_time=to_timestamp(payment.created_at),
    )


def _render_status(status: PaymentStatus) -> payments_pb2.Payment.Status.ValueType:
    """Render a status for callers, who see CLOSING as PENDING: it is not decided yet."""
    shown = PaymentStatus.PENDING if status is PaymentStatus.CLOSING else status
    return payments_pb2.Payment.Status.Value(shown)
