"""Which event may follow on an order: the states, written down a second time.

The fold of an order takes any event at any time. A history that the rules of the domain could not
have produced is one that two writers have written.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.orders.domain import ZERO, Order, apply, fold
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
from services.orders.states import CANCELLABLE, OrderStatus, PaymentStatus


def find_impossible(order_id: str, history: Sequence[RecordedEvent]) -> str:
    """Return the name of the first event that cannot follow on those before it, or ""."""
    first, *later = history
    order = fold(order_id, [first])
    for recorded in later:
        if not _may_follow(order, recorded.event):
            return f"{type(recorded.event).__name__} after {order.status}"
        order = apply(order, recorded)
    return ""


def _may_follow(order: Order, event: Event) -> bool:
    rule = RULES.get(type(event))
    return rule is not None and rule(order, event)


def _may_redeem(order: Order) -> bool:
    is_due = bool(order.placed.promo_code) and not order.promo_redeemed
    return is_due and order.status is OrderStatus.PENDING


def _may_start_payment(order: Order) -> bool:
    is_redeemed = order.promo_redeemed or not order.placed.promo_code
    return is_redeemed and order.status is OrderStatus.PENDING


def _may_have_outcome(order: Order) -> bool:
    is_open = order.payment_status is PaymentStatus.PENDING
    return is_open and order.status is OrderStatus.PAYMENT_PROCESSING


def _may_confirm(order: Order) -> bool:
    is_paid = order.payment_status is PaymentStatus.CAPTURED
    return is_paid and order.status is OrderStatus.PAYMENT_PROCESSING


def _may_settle(order: Order, refunded: Any) -> bool:
    """A capture that is recorded is refunded whole; one that is not may have happened or not."""
    was_captured = order.payment_status is PaymentStatus.REFUNDING
    amounts = {order.final_amount} if was_captured else {ZERO, order.final_amount}
    is_due = order.status is OrderStatus.CANCELLED and not order.payment_settled
    return is_due and refunded in amounts


def _may_release_promo(order: Order) -> bool:
    is_due = bool(order.placed.promo_code) and not order.promo_released
    return is_due and order.status is OrderStatus.CANCELLED


def _may_release_stock(order: Order) -> bool:
    return order.status is OrderStatus.CANCELLED and not order.stock_released


RULES: Mapping[type[Event], Callable[[Order, Any], bool]] = {
    OrderPlaced: lambda _order, _event: False,
    PromoRedeemed: lambda order, _event: _may_redeem(order),
    PaymentStarted: lambda order, _event: _may_start_payment(order),
    PaymentCaptured: lambda order, _event: _may_have_outcome(order),
    PaymentDeclined: lambda order, _event: _may_have_outcome(order),
    OrderConfirmed: lambda order, _event: _may_confirm(order),
    OrderPreparationStarted: lambda order, _event: order.status is OrderStatus.CONFIRMED,
    OrderShipped: lambda order, _event: order.status is OrderStatus.PROCESSING,
    OrderDelivered: lambda order, _event: order.status is OrderStatus.SHIPPED,
    OrderCancelled: lambda order, _event: order.status in CANCELLABLE,
    PaymentSettled: lambda order, event: _may_settle(order, event.refunded),
    PromoReleased: lambda order, _event: _may_release_promo(order),
    StockReleased: lambda order, _event: _may_release_stock(order),
}
"""Whether an event may follow, by its type; an event without a rule may not."""
