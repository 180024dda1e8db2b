"""What an order is, what may happen to it, and what has to happen next.

An order is what its events say: each decision below looks at an order and returns the
events that follow from it, `fold` turns events back into the order, and nothing else is
ever stored about it.

    PENDING -> PAYMENT_PROCESSING -> CONFIRMED -> PROCESSING -> SHIPPED -> DELIVERED
       |               |                |             |
       +---------------+----------------+-------------+--> CANCELLED

From the moment it is placed an order moves by itself: `next_step` names what has to be
done next, and the saga does it, step by step, until the order is confirmed, or cancelled
and everything that was taken is given back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    UnprocessableError,
)

NOTHING = Decimal("0.00")


class OrderStatus(StrEnum):
    """Where an order stands; see the module's picture."""

    PENDING = "PENDING"
    PAYMENT_PROCESSING = "PAYMENT_PROCESSING"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    """Where the payment of an order stands."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    NOT_CHARGED = "NOT_CHARGED"


CANCELLABLE = frozenset(
    {
        OrderStatus.PENDING,
        OrderStatus.PAYMENT_PROCESSING,
        OrderStatus.CONFIRMED,
        OrderStatus.PROCESSING,
    }
)

BOUGHT = frozenset(
    {
        OrderStatus.CONFIRMED,
        OrderStatus.PROCESSING,
        OrderStatus.SHIPPED,
        OrderStatus.DELIVERED,
    }
)


# Errors ----------------------------------------------------------------------------------


class OrderNotFoundError(NotFoundError):
    """There is no such order."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no order {order_id}.", orderId=order_id)


class UnknownProductsError(UnprocessableError):
    """The cart names products that do not exist."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, products: Sequence[str]) -> None:
        named = ",".join(products)
        super().__init__(f"There is no product {named}.", productIds=named)


class OutOfStockError(UnprocessableError):
    """Less is on sale than the cart asks for; both lists are in the same order."""

    reason = "OUT_OF_STOCK"

    def __init__(self, products: Sequence[str], available: Sequence[int]) -> None:
        named = ",".join(products)
        super().__init__(
            f"Not enough is on sale of: {named}",
            productIds=named,
            availableQuantities=",".join(map(str, available)),
        )


class PromoInvalidError(UnprocessableError):
    """The promotion code does not apply; `promo_reason` says why."""

    reason = "PROMO_INVALID"

    def __init__(self, promo_code: str, promo_reason: str) -> None:
        super().__init__(
            f"The code {promo_code} does not apply: {promo_reason}.",
            promoCode=promo_code,
            promoReason=promo_reason,
        )


class IdempotencyKeyReusedError(AlreadyExistsError):
    """The Idempotency-Key was used before, for something else."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another order; take a new one.")


class OrderNotCancellableError(FailedPreconditionError):
    """It is too late to cancel the order."""

    reason = "ORDER_NOT_CANCELLABLE"

    def __init__(self, status: OrderStatus) -> None:
        super().__init__(f"An order that is {status} cannot be cancelled.", status=status)


class WrongTransitionError(FailedPreconditionError):
    """The order cannot go from where it stands to where it was sent."""

    reason = "WRONG_TRANSITION"

    def __init__(self, status: OrderStatus, wanted: OrderStatus) -> None:
        text = f"An order cannot go from {status} to {wanted}."
        super().__init__(text, status=status, wanted=wanted)


class OrderChangedError(ConflictError):
    """Somebody else changed the order at the same moment."""

    reason = "ORDER_CHANGED"

    def __init__(self, order_id: str) -> None:
        super().__init__("The order has just changed; look at it again.", orderId=order_id)


# What an order is made of ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of an order, at the price of the moment it was placed."""

    product_id: str
    sku: str
    title: str
    category: str
    quantity: int
    unit_price: Decimal

    @property
    def total(self) -> Decimal:
        """Return the price of the line."""
        return self.unit_price * self.quantity


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an order goes. `country` is an ISO 3166-1 alpha-2 code."""

    recipient: str
    line1: str
    line2: str
    postal_code: str
    city: str
    country: str


# Events: what happened, in the past tense ------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to an order."""


@dataclass(frozen=True, kw_only=True)
class OrderPlaced(Event):
    """The stock is held until `hold_expires_at`; `fingerprint` identifies what was asked for."""

    user_id: str
    items: tuple[Item, ...]
    discount: Decimal
    currency: str
    promo_code: str
    address: Address
    hold_expires_at: datetime
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class PromoRedeemed(Event):
    """One use of the promotion code is counted."""


@dataclass(frozen=True, kw_only=True)
class PaymentStarted(Event):
    """From here on money may have been taken."""


@dataclass(frozen=True, kw_only=True)
class PaymentCaptured(Event):
    """The money was taken."""

    payment_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentDeclined(Event):
    """The provider refused; no money was taken."""

    decline_reason: str


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(Event):
    """The stock is sold and the order will be packed."""


@dataclass(frozen=True, kw_only=True)
class OrderPreparationStarted(Event):
    """The order is being packed."""


@dataclass(frozen=True, kw_only=True)
class OrderShipped(Event):
    """The order was handed to the carrier."""

    tracking_number: str


@dataclass(frozen=True, kw_only=True)
class OrderDelivered(Event):
    """The client has it."""


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(Event):
    """The order is given up; what was taken has to be given back."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentSettled(Event):
    """Nothing of the client's money is left with us; `refunded` was returned (0 when none)."""

    refunded: Decimal


@dataclass(frozen=True, kw_only=True)
class PromoReleased(Event):
    """The use of the promotion code was given back."""


@dataclass(frozen=True, kw_only=True)
class StockReleased(Event):
    """The products are back on sale."""


# The order, folded from its events -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event as it was kept: `sequence` counts from 1 for each order, without gaps."""

    sequence: int
    time: datetime
    event: Event


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order as it stands after `sequence` events."""

    order_id: str
    sequence: int
    placed: OrderPlaced
    created_at: datetime
    updated_at: datetime
    status: OrderStatus = OrderStatus.PENDING
    payment_status: PaymentStatus = PaymentStatus.PENDING
    promo_redeemed: bool = False
    tracking_number: str = ""
    cancel_reason: str = ""
    refunded: Decimal = NOTHING
    payment_settled: bool = False
    promo_released: bool = False
    stock_released: bool = False

    @property
    def user_id(self) -> str:
        """Return who placed it."""
        return self.placed.user_id

    @property
    def total(self) -> Decimal:
        """Return the total before reduction."""
        return sum((item.total for item in self.placed.items), NOTHING)

    @property
    def final(self) -> Decimal:
        """Return what is to pay."""
        return self.total - self.placed.discount

    @property
    def is_bought(self) -> bool:
        """Return whether its products are the client's: paid, sold and not given back."""
        return self.status in BOUGHT

    @property
    def refund(self) -> Decimal:
        """Return what was returned or is about to be; 0 when nothing was taken."""
        return self.final if self.payment_status is PaymentStatus.REFUNDING else self.refunded


def fold(order_id: str, history: Iterable[Recorded]) -> Order:
    """Return the order that a history tells of; its first event is OrderPlaced."""
    first, *later = history
    assert isinstance(first.event, OrderPlaced), "a history begins with OrderPlaced"
    order = Order(
        order_id=order_id,
        sequence=first.sequence,
        placed=first.event,
        created_at=first.time,
        updated_at=first.time,
    )
    for recorded in later:
        order = apply(order, recorded)
    return order


def apply(order: Order, recorded: Recorded) -> Order:
    """Return the order after one more event."""
    changes = _changes(order, recorded.event)
    return replace(order, sequence=recorded.sequence, updated_at=recorded.time, **changes)


def _changes(order: Order, event: Event) -> dict[str, Any]:  # noqa: PLR0911 - one a kind
    match event:
        case PromoRedeemed():
            return {"promo_redeemed": True}
        case PaymentStarted():
            return {"status": OrderStatus.PAYMENT_PROCESSING}
        case PaymentCaptured():
            return {"payment_status": PaymentStatus.CAPTURED}
        case PaymentDeclined():
            return {"payment_status": PaymentStatus.DECLINED}
        case OrderConfirmed():
            return {"status": OrderStatus.CONFIRMED}
        case OrderPreparationStarted():
            return {"status": OrderStatus.PROCESSING}
        case OrderShipped(tracking_number=number):
            return {"status": OrderStatus.SHIPPED, "tracking_number": number}
        case OrderDelivered():
            return {"status": OrderStatus.DELIVERED}
        case OrderCancelled(reason=reason):
            payment = PAYMENT_OF_CANCELLED.get(order.payment_status, order.payment_status)
            status = OrderStatus.CANCELLED
            return {"status": status, "cancel_reason": reason, "payment_status": payment}
        case PaymentSettled(refunded=refunded):
            payment = PaymentStatus.REFUNDED if refunded else _unpaid(order.payment_status)
            return {"payment_settled": True, "refunded": refunded, "payment_status": payment}
        case PromoReleased():
            return {"promo_released": True}
        case StockReleased():
            return {"stock_released": True}
    raise TypeError(f"nobody has said what {type(event).__name__} does to an order")


PAYMENT_OF_CANCELLED = {PaymentStatus.CAPTURED: PaymentStatus.REFUNDING}


def _unpaid(before: PaymentStatus) -> PaymentStatus:
    """Return how an order that keeps no money says so: it remembers that it was declined."""
    declined = before is PaymentStatus.DECLINED
    return PaymentStatus.DECLINED if declined else PaymentStatus.NOT_CHARGED


# Decisions of people ---------------------------------------------------------------------


def cancel(order: Order, reason: str) -> list[Event]:
    """Decide on giving an order up; an order that is cancelled stays so.

    OrderNotCancellableError once it is shipped.
    """
    if order.status is OrderStatus.CANCELLED:
        return []
    if order.status not in CANCELLABLE:
        raise OrderNotCancellableError(order.status)
    return [OrderCancelled(reason=reason)]


def move_on(order: Order, wanted: OrderStatus, tracking_number: str = "") -> list[Event]:
    """Decide on packing, shipping or delivering an order; where it stands already it stays.

    WrongTransitionError unless it stands at the state before.
    """
    if order.status is wanted:
        return []
    if MOVES.get(order.status) is not wanted:
        raise WrongTransitionError(order.status, wanted)
    if wanted is OrderStatus.SHIPPED:
        return [OrderShipped(tracking_number=tracking_number)]
    return [OrderDelivered()] if wanted is OrderStatus.DELIVERED else [OrderPreparationStarted()]


MOVES = {
    OrderStatus.CONFIRMED: OrderStatus.PROCESSING,
    OrderStatus.PROCESSING: OrderStatus.SHIPPED,
    OrderStatus.SHIPPED: OrderStatus.DELIVERED,
}


# What has to happen next -----------------------------------------------------------------


class Step(StrEnum):
    """Something that the saga does, and may do twice without harm."""

    REDEEM_PROMO = "REDEEM_PROMO"
    START_PAYMENT = "START_PAYMENT"
    TAKE_PAYMENT = "TAKE_PAYMENT"
    SELL_STOCK = "SELL_STOCK"
    EXPIRE = "EXPIRE"
    SETTLE_PAYMENT = "SETTLE_PAYMENT"
    RELEASE_PROMO = "RELEASE_PROMO"
    RELEASE_STOCK = "RELEASE_STOCK"


def next_step(order: Order, now: datetime) -> Step | None:
    """Return what has to be done next; None when the order has come to rest.

    Forward while it is young; once cancelled, backward until all is given back. An order
    that is not paid when its stock is no longer held is given up.
    """
    if order.status is OrderStatus.CANCELLED:
        return _next_step_back(order)
    if order.status not in (OrderStatus.PENDING, OrderStatus.PAYMENT_PROCESSING):
        return None
    if order.payment_status is PaymentStatus.CAPTURED:
        return Step.SELL_STOCK
    if now >= order.placed.hold_expires_at:
        return Step.EXPIRE
    if order.placed.promo_code and not order.promo_redeemed:
        return Step.REDEEM_PROMO
    return Step.START_PAYMENT if order.status is OrderStatus.PENDING else Step.TAKE_PAYMENT


def _next_step_back(order: Order) -> Step | None:
    """Return what has to be given back next; money first."""
    if not order.payment_settled:
        return Step.SETTLE_PAYMENT
    if order.placed.promo_code and not order.promo_released:
        return Step.RELEASE_PROMO
    return None if order.stock_released else Step.RELEASE_STOCK
