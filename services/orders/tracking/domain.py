"""What somebody who follows an order is told: where it stands, each time that changes."""

from collections.abc import Sequence

from services.orders.domain import Order, OrderStatus, Recorded, apply, fold


def begin(order_id: str, history: Sequence[Recorded]) -> tuple[Order, list[Order]]:
    """Return an order, and how it stood after each event that changed its status."""
    first = fold(order_id, history[:1])
    order, changes = advance(first, history[1:])
    return order, [first, *changes]


def advance(order: Order, news: Sequence[Recorded]) -> tuple[Order, list[Order]]:
    """Return an order after what happened since, and how it stood after each new status."""
    changes = []
    for recorded in news:
        before, order = order, apply(order, recorded)
        if order.status is not before.status:
            changes.append(order)
    return order, changes


def is_over(order: Order) -> bool:
    """Return whether an order has come to its end: delivered, or given up and the money settled."""
    cancelled = order.status is OrderStatus.CANCELLED and order.payment_settled
    return cancelled or order.status is OrderStatus.DELIVERED
