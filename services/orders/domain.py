"""The business rules of an order. Read this first.

An order is event-sourced. Its history (`events`) is all that is stored; `fold` computes the
order from it. A decision (`cancel`, `change_status`) takes an order and returns the events
that follow, or raises an error (`errors`).

From OrderPlaced on, a saga drives the order: `next_step` names the step that is due, the
orchestrator (`saga`) executes it and appends the resulting events, until no step is due.

    forward        REDEEM_PROMO -> START_PAYMENT -> CAPTURE_PAYMENT -> COMMIT_STOCK
    compensation   REFUND_PAYMENT -> RELEASE_PROMO -> RELEASE_STOCK

Compensation starts with OrderCancelled: the customer cancels, a step is rejected, the payment
is declined, or the stock's reservation expires before the payment (EXPIRE).
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.orders.errors import OrderNotCancellableError, WrongTransitionError
from services.orders.events import (
    Event,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderPreparationStarted,
    OrderShipped,
    PaymentCaptured,
    PaymentDeclined,
    PaymentSettled,
    PaymentStarted,
    PromoRedeemed,
    PromoReleased,
    RecordedEvent,
    StockReleased,
)
from services.orders.states import (
    CANCELLABLE,
    FULFILMENT,
    PURCHASED,
    UNCONFIRMED,
    OrderStatus,
    PaymentStatus,
)

ZERO = Decimal("0.00")


# The order, folded from its events -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order after `sequence` events."""

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
    refunded: Decimal = ZERO
    payment_settled: bool = False
    promo_released: bool = False
    stock_released: bool = False

    @property
    def user_id(self) -> str:
        """Return the customer's id."""
        return self.placed.user_id

    @property
    def total_amount(self) -> Decimal:
        """Return the price of all items, before the discount."""
        return sum((item.total for item in self.placed.items), ZERO)

    @property
    def final_amount(self) -> Decimal:
        """Return the amount to pay."""
        return self.total_amount - self.placed.discount

    @property
    def refund_amount(self) -> Decimal:
        """Return the amount that is or will be refunded; 0 when nothing was captured."""
        refunding = self.payment_status is PaymentStatus.REFUNDING
        return self.final_amount if refunding else self.refunded

    @property
    def is_purchased(self) -> bool:
        """Return whether the order is paid, its stock committed, and not cancelled."""
        return self.status in PURCHASED


def fold(order_id: str, history: Iterable[RecordedEvent]) -> Order:
    """Compute an order from its history, which begins with OrderPlaced."""
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


def record(order: Order, events: Iterable[Event], now: datetime) -> list[RecordedEvent]:
    """Number and date the events that follow on an order."""
    return [
        RecordedEvent(sequence=sequence, time=now, event=event)
        for sequence, event in enumerate(events, order.sequence + 1)
    ]


def apply(order: Order, recorded: RecordedEvent) -> Order:
    """Return the order after one more event."""
    changes = _changes(order, recorded.event)
    return replace(order, sequence=recorded.sequence, updated_at=recorded.time, **changes)


def _changes(order: Order, event: Event) -> dict[str, Any]:  # noqa: PLR0911 - one per type
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
            payment = _payment_of_cancelled(order.payment_status)
            status = OrderStatus.CANCELLED
            return {"status": status, "cancel_reason": reason, "payment_status": payment}
        case PaymentSettled(refunded=refunded):
            payment = PaymentStatus.REFUNDED if refunded else _uncharged(order.payment_status)
            return {"payment_settled": True, "refunded": refunded, "payment_status": payment}
        case PromoReleased():
            return {"promo_released": True}
        case StockReleased():
            return {"stock_released": True}
    raise TypeError(f"{type(event).__name__} has no effect on an order; define it here")


def _payment_of_cancelled(before: PaymentStatus) -> PaymentStatus:
    """Return the payment's state once the order is cancelled."""
    return PaymentStatus.REFUNDING if before is PaymentStatus.CAPTURED else before


def _uncharged(before: PaymentStatus) -> PaymentStatus:
    """Return the state of a payment that is settled without a refund; a decline stays visible."""
    declined = before is PaymentStatus.DECLINED
    return PaymentStatus.DECLINED if declined else PaymentStatus.NOT_CHARGED


# Decisions of customers and administrators -----------------------------------------------


def cancel(order: Order, reason: str) -> list[Event]:
    """Decide on cancelling an order; cancelling twice changes nothing.

    OrderNotCancellableError once it is shipped.
    """
    if order.status is OrderStatus.CANCELLED:
        return []
    if order.status not in CANCELLABLE:
        raise OrderNotCancellableError(order.status)
    return [OrderCancelled(reason=reason)]


def change_status(order: Order, wanted: OrderStatus, tracking_number: str = "") -> list[Event]:
    """Decide on packing, shipping or delivering an order; in the wanted state nothing changes.

    WrongTransitionError unless the order is in the state before the wanted one.
    """
    if order.status is wanted:
        return []
    if FULFILMENT.get(order.status) is not wanted:
        raise WrongTransitionError(order.status, wanted)
    if wanted is OrderStatus.SHIPPED:
        return [OrderShipped(tracking_number=tracking_number)]
    return [OrderDelivered()] if wanted is OrderStatus.DELIVERED else [OrderPreparationStarted()]


# The saga: which step is due -------------------------------------------------------------


class Step(StrEnum):
    """A step of the saga; each is idempotent."""

    REDEEM_PROMO = "REDEEM_PROMO"
    START_PAYMENT = "START_PAYMENT"
    CAPTURE_PAYMENT = "CAPTURE_PAYMENT"
    COMMIT_STOCK = "COMMIT_STOCK"
    EXPIRE = "EXPIRE"
    REFUND_PAYMENT = "REFUND_PAYMENT"
    RELEASE_PROMO = "RELEASE_PROMO"
    RELEASE_STOCK = "RELEASE_STOCK"


LOCAL_STEPS = frozenset({Step.START_PAYMENT, Step.EXPIRE})
"""The steps that call no upstream: their event is all that they do."""


def next_step(order: Order, now: datetime, skipped: Collection[Step] = ()) -> Step | None:
    """Return the step that is due; None when the saga is complete.

    An order that is not paid when its stock reservation ends is cancelled (EXPIRE); a paid
    one goes on. Steps that cannot be executed now may be skipped: compensations do not depend
    on each other, steps forward do.
    """
    if order.status is OrderStatus.CANCELLED:
        return next((step for step in _compensations(order) if step not in skipped), None)
    step = _next_forward(order, now)
    return None if step in skipped else step


def _next_forward(order: Order, now: datetime) -> Step | None:
    if order.status not in UNCONFIRMED:
        return None
    if order.payment_status is PaymentStatus.CAPTURED:
        return Step.COMMIT_STOCK
    if now >= order.placed.hold_expires_at:
        return Step.EXPIRE
    if order.placed.promo_code and not order.promo_redeemed:
        return Step.REDEEM_PROMO
    return Step.START_PAYMENT if order.status is OrderStatus.PENDING else Step.CAPTURE_PAYMENT


def _compensations(order: Order) -> Iterator[Step]:
    """Yield the compensations that are due; money first."""
    if not order.payment_settled:
        yield Step.REFUND_PAYMENT
    if order.placed.promo_code and not order.promo_released:
        yield Step.RELEASE_PROMO
    if not order.stock_released:
        yield Step.RELEASE_STOCK
