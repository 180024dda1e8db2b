"""The upstreams of orders over gRPC.

Errors are translated at this boundary: a rejection becomes the domain error of its reason, or
UpstreamRejectedError; everything else, a timeout included, ServiceUnavailableError.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2, catalog_pb2_grpc
from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc
from typing_extensions import override

from services.common.money import format_amount, parse_amount
from services.common.rpc.status import read_status
from services.orders.errors import (
    IdempotencyKeyExpiredError,
    IdempotencyKeyReusedError,
    OutOfStockError,
    PromoInvalidError,
    UnknownProductsError,
)
from services.orders.events import Item
from services.orders.ports import (
    Captured,
    Catalog,
    Declined,
    Payments,
    Promotions,
    ServiceUnavailableError,
    UpstreamRejectedError,
)

REQUEST_TIMEOUT_SECONDS = 2.0
PAYMENT_TIMEOUT_SECONDS = 5.0


class CatalogOverGrpc(Catalog):
    """The catalog service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = catalog_pb2_grpc.CatalogServiceStub(channel)

    @override
    def get_item(self, product: str, quantity: int) -> Item | None:
        request = catalog_pb2.VerifyStockRequest(product_id=product, quantity=quantity)
        try:
            with translate_errors("catalog"):
                answer = self._stub.VerifyStock(request, timeout=REQUEST_TIMEOUT_SECONDS)
        except UpstreamRejectedError as error:
            if error.reason == "PRODUCT_NOT_FOUND":
                return None
            raise
        return _to_item(answer, quantity)

    @override
    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> datetime:
        lines = [
            catalog_pb2.StockLine(product_id=item.product_id, quantity=item.quantity)
            for item in items
        ]
        request = catalog_pb2.ReserveStockRequest(
            order_id=order_id, items=lines, hold_seconds=hold_seconds
        )
        with translate_errors("catalog", RESERVATION_REJECTIONS):
            answer = self._stub.ReserveStock(request, timeout=REQUEST_TIMEOUT_SECONDS)
        return answer.expire_time.ToDatetime(tzinfo=UTC)

    @override
    def commit(self, order_id: str) -> None:
        request = catalog_pb2.CommitStockRequest(order_id=order_id)
        with translate_errors("catalog"):
            self._stub.CommitStock(request, timeout=REQUEST_TIMEOUT_SECONDS)

    @override
    def release(self, order_id: str) -> None:
        request = catalog_pb2.ReleaseStockRequest(order_id=order_id)
        with translate_errors("catalog"):
            self._stub.ReleaseStock(request, timeout=REQUEST_TIMEOUT_SECONDS)


class PromotionsOverGrpc(Promotions):
    """The promotions service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)

    @override
    def get_discount(
        self, order_id: str, promo_code: str, user_id: str, items: Sequence[Item]
    ) -> Decimal:
        lines = [
            promotions_pb2.CartLine(category=item.category, amount=format_amount(item.total))
            for item in items
        ]
        request = promotions_pb2.ValidatePromoRequest(
            order_id=order_id, promo_code=promo_code, user_id=user_id, lines=lines
        )
        with translate_errors("promotions"):
            answer = self._stub.ValidatePromo(request, timeout=REQUEST_TIMEOUT_SECONDS)
        if not answer.is_valid:
            raise PromoInvalidError(promo_code, answer.reason)
        return parse_amount(answer.discount_amount)

    @override
    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        request = promotions_pb2.RedeemPromoRequest(
            order_id=order_id, promo_code=promo_code, user_id=user_id
        )
        with translate_errors("promotions"):
            self._stub.RedeemPromo(request, timeout=REQUEST_TIMEOUT_SECONDS)

    @override
    def release(self, order_id: str, promo_code: str) -> None:
        request = promotions_pb2.ReleasePromoRequest(order_id=order_id, promo_code=promo_code)
        with translate_errors("promotions"):
            self._stub.ReleasePromo(request, timeout=REQUEST_TIMEOUT_SECONDS)


class PaymentsOverGrpc(Payments):
    """The payments service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = payments_pb2_grpc.PaymentsServiceStub(channel)

    @override
    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        request = payments_pb2.ProcessPaymentRequest(
            order_id=order_id,
            user_id=user_id,
            amount=format_amount(amount),
            currency=currency,
            payment_token=token,
        )
        with translate_errors("payments"):
            payment = self._stub.ProcessPayment(request, timeout=PAYMENT_TIMEOUT_SECONDS)
        if payment.status == payments_pb2.Payment.DECLINED:
            return Declined(payment.decline_reason)
        return Captured(payment.payment_id)

    @override
    def refund(self, order_id: str, reason: str) -> Decimal:
        request = payments_pb2.RefundPaymentRequest(order_id=order_id, reason=reason)
        with translate_errors("payments"):
            payment = self._stub.RefundPayment(request, timeout=PAYMENT_TIMEOUT_SECONDS)
        return parse_amount(payment.refunded_amount)


Rejection = Callable[[Mapping[str, str]], Exception]

RESERVATION_REJECTIONS: Mapping[str, Rejection] = {
    "OUT_OF_STOCK": lambda facts: OutOfStockError(_read_available(facts)),
    "PRODUCT_NOT_FOUND": lambda facts: UnknownProductsError(facts["productIds"].split(",")),
    "RESERVATION_MISMATCH": lambda _facts: IdempotencyKeyReusedError(),
    "RESERVATION_CLOSED": lambda _facts: IdempotencyKeyExpiredError(),
}

REJECTION_CODES = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
"""The codes of a call that was not carried out, and will not be when it is repeated.

Some of them are bugs of ours; such a call is never taken for an upstream that is unavailable.
"""


@contextmanager
def translate_errors(
    service: str, rejections: Mapping[str, Rejection] | None = None
) -> Iterator[None]:
    """Translate the errors of calls to a service.

    A rejection becomes the error that `rejections` has for its reason, by default
    UpstreamRejectedError with the reason or the code; everything else ServiceUnavailableError.
    """
    try:
        yield
    except grpc.RpcError as error:
        reason, facts = read_status(error)
        if error.code() not in REJECTION_CODES:
            raise ServiceUnavailableError(service) from error
        rejection = (rejections or {}).get(reason)
        if rejection:
            raise rejection(facts) from error
        raise UpstreamRejectedError(reason or error.code().name) from error


def _read_available(facts: Mapping[str, str]) -> dict[str, int]:
    """Read the units on sale of each short product."""
    quantities = map(int, facts["availableQuantities"].split(","))
    return dict(zip(facts["productIds"].split(","), quantities, strict=True))


def _to_item(answer: catalog_pb2.VerifyStockResponse, quantity: int) -> Item:
    return Item(
        product_id=answer.product_id,
        sku=answer.sku,
        title=answer.title,
        category=answer.category,
        quantity=quantity,
        unit_price=parse_amount(answer.unit_price),
    )
