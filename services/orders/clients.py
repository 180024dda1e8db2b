"""The services that an order needs, as the business sees them, and over gRPC.

Each client answers in words of the domain. Refusals are answers or domain errors; that a
service cannot be reached, or has not answered in time, is ServiceUnavailableError: the outcome is
then unknown, and the same call may be made again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import grpc
from mamie_rosa.catalog.internal.v1 import catalog_pb2, catalog_pb2_grpc
from mamie_rosa.payments.internal.v1 import payments_pb2, payments_pb2_grpc
from mamie_rosa.promotions.internal.v1 import promotions_pb2, promotions_pb2_grpc

from services.common.errors import UnavailableError
from services.common.money import format_amount, parse_amount
from services.common.rpc.status import read_status
from services.orders.domain import (
    IdempotencyKeyReusedError,
    Item,
    OrderChangedError,
    OutOfStockError,
    PromoInvalidError,
    UnknownProductsError,
)

REQUEST_TIMEOUT_SECONDS = 2.0
PAYMENT_TIMEOUT_SECONDS = 5.0


class ServiceUnavailableError(UnavailableError):
    """A service that an order needs cannot be reached, or has not answered in time."""

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self, service: str) -> None:
        super().__init__(f"The {service} service does not answer; try again.", service=service)


class RefusedError(Exception):
    """A service refuses for a reason of its own that ends the saga's way forward."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Offer:
    """What a product costs, and how many of it are on sale."""

    item: Item
    available_quantity: int


@dataclass(frozen=True)
class Captured:
    """The money was taken."""

    payment_id: str


@dataclass(frozen=True)
class Declined:
    """The provider refused; no money was taken."""

    reason: str


class Catalog(Protocol):
    """What an order needs of the catalog. Changes are keyed by the order: safe to repeat."""

    def offer(self, product: str, quantity: int) -> Offer | None:
        """Return the offer for a quantity of a product, by id or sku; None if unknown."""

    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> None:
        """Hold all items, or raise OutOfStockError and hold none."""

    def commit(self, order_id: str) -> None:
        """Sell what the order holds; RefusedError when it cannot be sold any more."""

    def release(self, order_id: str) -> None:
        """Put back on sale what the order holds or has bought."""


class Promotions(Protocol):
    """What an order needs of the promotions. Changes are keyed by the order."""

    def discount(self, promo_code: str, user_id: str, items: Sequence[Item]) -> Decimal:
        """Return what a code takes off, or raise PromoInvalidError."""

    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        """Count one use of a code; RefusedError when it does not apply any more."""

    def release(self, order_id: str, promo_code: str) -> None:
        """Give back the use of a code."""


class Payments(Protocol):
    """What an order needs of the payments. Changes are keyed by the order."""

    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        """Take the money; RefusedError when the payment was closed before."""

    def settle(self, order_id: str, reason: str) -> Decimal:
        """Return the money, if any was taken, and see that none is taken later.

        Returns the amount that was returned.
        """


class CatalogOverGrpc:
    """The catalog service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = catalog_pb2_grpc.CatalogServiceStub(channel)

    def offer(self, product: str, quantity: int) -> Offer | None:
        """Return the offer for a quantity of a product, by id or sku; None if unknown."""
        request = catalog_pb2.VerifyStockRequest(product_id=product, quantity=quantity)
        try:
            with translate_errors("catalog"):
                answer = self._stub.VerifyStock(request, timeout=REQUEST_TIMEOUT_SECONDS)
        except RefusedError as refusal:
            if refusal.reason == "PRODUCT_NOT_FOUND":
                return None
            raise
        return Offer(_to_item(answer, quantity), answer.available_quantity)

    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> None:
        """Hold all items, or raise OutOfStockError and hold none."""
        lines = [
            catalog_pb2.StockLine(product_id=item.product_id, quantity=item.quantity)
            for item in items
        ]
        request = catalog_pb2.ReserveStockRequest(
            order_id=order_id, items=lines, hold_seconds=hold_seconds
        )
        with translate_errors("catalog", RESERVATION_REFUSALS):
            self._stub.ReserveStock(request, timeout=REQUEST_TIMEOUT_SECONDS)

    def commit(self, order_id: str) -> None:
        """Sell what the order holds; RefusedError when it cannot be sold any more."""
        request = catalog_pb2.CommitStockRequest(order_id=order_id)
        with translate_errors("catalog"):
            self._stub.CommitStock(request, timeout=REQUEST_TIMEOUT_SECONDS)

    def release(self, order_id: str) -> None:
        """Put back on sale what the order holds or has bought."""
        request = catalog_pb2.ReleaseStockRequest(order_id=order_id)
        with translate_errors("catalog"):
            self._stub.ReleaseStock(request, timeout=REQUEST_TIMEOUT_SECONDS)


class PromotionsOverGrpc:
    """The promotions service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = promotions_pb2_grpc.PromotionsServiceStub(channel)

    def discount(self, promo_code: str, user_id: str, items: Sequence[Item]) -> Decimal:
        """Return what a code takes off, or raise PromoInvalidError."""
        lines = [
            promotions_pb2.CartLine(category=item.category, amount=format_amount(item.total))
            for item in items
        ]
        request = promotions_pb2.ValidatePromoRequest(
            promo_code=promo_code, user_id=user_id, lines=lines
        )
        with translate_errors("promotions"):
            answer = self._stub.ValidatePromo(request, timeout=REQUEST_TIMEOUT_SECONDS)
        if not answer.is_valid:
            raise PromoInvalidError(promo_code, answer.reason)
        return parse_amount(answer.discount_amount)

    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        """Count one use of a code; RefusedError when it does not apply any more."""
        request = promotions_pb2.RedeemPromoRequest(
            order_id=order_id, promo_code=promo_code, user_id=user_id
        )
        with translate_errors("promotions"):
            self._stub.RedeemPromo(request, timeout=REQUEST_TIMEOUT_SECONDS)

    def release(self, order_id: str, promo_code: str) -> None:
        """Give back the use of a code."""
        request = promotions_pb2.ReleasePromoRequest(order_id=order_id, promo_code=promo_code)
        with translate_errors("promotions"):
            self._stub.ReleasePromo(request, timeout=REQUEST_TIMEOUT_SECONDS)


class PaymentsOverGrpc:
    """The payments service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = payments_pb2_grpc.PaymentsServiceStub(channel)

    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        """Take the money; RefusedError when the payment was closed before."""
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

    def settle(self, order_id: str, reason: str) -> Decimal:
        """Return the money, if any was taken, and see that none is taken later."""
        request = payments_pb2.RefundPaymentRequest(order_id=order_id, reason=reason)
        with translate_errors("payments"):
            payment = self._stub.RefundPayment(request, timeout=PAYMENT_TIMEOUT_SECONDS)
        return parse_amount(payment.refunded_amount)


Refusal = Callable[[Mapping[str, str]], Exception]

RESERVATION_REFUSALS: Mapping[str, Refusal] = {
    "OUT_OF_STOCK": lambda facts: OutOfStockError(
        facts["productIds"].split(","), [int(n) for n in facts["availableQuantities"].split(",")]
    ),
    "PRODUCT_NOT_FOUND": lambda facts: UnknownProductsError(facts["productIds"].split(",")),
    "RESERVATION_MISMATCH": lambda _facts: IdempotencyKeyReusedError(),
    "RESERVATION_CLOSED": lambda facts: OrderChangedError(facts["orderId"]),
}

REFUSING = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
    }
)


@contextmanager
def translate_errors(service: str, refusals: Mapping[str, Refusal] | None = None) -> Iterator[None]:
    """Translate what a call may end with.

    A refusal becomes the error that `refusals` has for its reason, else RefusedError;
    everything else ServiceUnavailableError.
    """
    try:
        yield
    except grpc.RpcError as error:
        reason, facts = read_status(error)
        if error.code() not in REFUSING or not reason:
            raise ServiceUnavailableError(service) from error
        refusal = (refusals or {}).get(reason)
        raise (refusal(facts) if refusal else RefusedError(reason)) from error


def _to_item(answer: catalog_pb2.VerifyStockResponse, quantity: int) -> Item:
    return Item(
        product_id=answer.product_id,
        sku=answer.sku,
        title=answer.title,
        category=answer.category,
        quantity=quantity,
        unit_price=parse_amount(answer.unit_price),
    )
