"""The errors of orders that a caller sees; `services.common.errors` draws the tree.

NotFoundError               OrderNotFoundError
AlreadyExistsError          IdempotencyKeyReusedError
UnprocessableError          UnknownProductsError, OutOfStockError, PromoInvalidError,
                            OrderTooLargeError
FailedPreconditionError     OrderNotCancellableError, WrongTransitionError,
                            IdempotencyKeyExpiredError
ResourceExhaustedError      OverloadedError
ConflictError               OrderChangedError, RequestInProgressError
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnprocessableError,
)
from services.orders.states import OrderStatus


class OrderNotFoundError(NotFoundError):
    """The order does not exist."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no order {order_id}.", orderId=order_id)


class IdempotencyKeyReusedError(AlreadyExistsError):
    """The Idempotency-Key was used before, for another cart."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another order; take a new one.")


class IdempotencyKeyExpiredError(FailedPreconditionError):
    """A request with the key reserved stock, and never became an order; the stock was released."""

    reason = "IDEMPOTENCY_KEY_EXPIRED"

    def __init__(self) -> None:
        super().__init__("No order was placed in time with this Idempotency-Key; take a new one.")


class RequestInProgressError(ConflictError):
    """An earlier request with the same Idempotency-Key is being carried out."""

    reason = "REQUEST_IN_PROGRESS"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is in progress; send it again in a moment.",
            retryAfterSeconds="1",
        )


class UnknownProductsError(UnprocessableError):
    """The cart names products that do not exist."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, products: Sequence[str]) -> None:
        named = ",".join(products)
        super().__init__(f"There is no product {named}.", productIds=named)


class OutOfStockError(UnprocessableError):
    """The cart asks for more than is on sale; `available` has the units on sale by product."""

    reason = "OUT_OF_STOCK"

    def __init__(self, available: Mapping[str, int]) -> None:
        named = ",".join(available)
        super().__init__(
            f"Not enough is on sale of: {named}",
            productIds=named,
            availableQuantities=",".join(map(str, available.values())),
        )
        self.available = available


class PromoInvalidError(UnprocessableError):
    """The promotion code does not apply; `promo_reason` says why."""

    reason = "PROMO_INVALID"

    def __init__(self, promo_code: str, promo_reason: str) -> None:
        super().__init__(
            f"The code {promo_code} does not apply: {promo_reason}.",
            promoCode=promo_code,
            promoReason=promo_reason,
        )


class OrderTooLargeError(UnprocessableError):
    """The total is more than a payment can be."""

    reason = "ORDER_TOO_LARGE"

    def __init__(self, maximum: Decimal) -> None:
        super().__init__(
            f"An order can be of at most {maximum}; make several.", maximumAmount=str(maximum)
        )


class OverloadedError(ResourceExhaustedError):
    """More orders are in progress than can be carried out in time."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "Too many orders are in progress; try again in a moment.", retryAfterSeconds="2"
        )


class OrderNotCancellableError(FailedPreconditionError):
    """The order is shipped and cannot be cancelled any more."""

    reason = "ORDER_NOT_CANCELLABLE"

    def __init__(self, status: OrderStatus) -> None:
        super().__init__(f"An order that is {status} cannot be cancelled.", status=status)


class WrongTransitionError(FailedPreconditionError):
    """There is no transition from the order's state to the wanted one."""

    reason = "WRONG_TRANSITION"

    def __init__(self, status: OrderStatus, wanted: OrderStatus) -> None:
        text = f"An order cannot go from {status} to {wanted}."
        super().__init__(text, status=status, wanted=wanted)


class OrderChangedError(ConflictError):
    """Another writer changed the order at the same moment."""

    reason = "ORDER_CHANGED"

    def __init__(self, order_id: str) -> None:
        super().__init__("The order has just changed; look at it again.", orderId=order_id)


REFUSALS: Mapping[str, type[UnprocessableError]] = {
    cls.reason: cls
    for cls in (UnknownProductsError, OutOfStockError, PromoInvalidError, OrderTooLargeError)
}
"""The rejections of a cart, by reason."""


def recall_refusal(reason: str, message: str, metadata: Mapping[str, str]) -> UnprocessableError:
    """Rebuild the error that a cart was rejected with."""
    error = REFUSALS[reason].__new__(REFUSALS[reason])
    UnprocessableError.__init__(error, message, **metadata)
    return error
