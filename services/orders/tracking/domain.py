"""The status changes of an order, as they are streamed to who tracks it."""

from collections.abc import Sequence

from services.orders.domain import Order, apply, fold
from services.orders.events import RecordedEvent
from services.orders.states import OrderStatus


def replay(order_id: str, history: Sequence[RecordedEvent]) -> tuple[Order, list[Order]]:
    """Return an order, and the order after each event that changed its status."""
    placed = fold(order_id, history[:1])
    order, changes = advance(placed, history[1:])
    return order, [placed, *changes]


def advance(order: Order, events: Sequence[RecordedEvent]) -> tuple[Order, list[Order]]:
    """Apply more events; return the order, and the order after each change of its status."""
    changes = []
    for recorded in events:
        before, order = order, apply(order, recorded)
        if order.status is not before.status:
            changes.append(order)
    return order, changes


def is_terminal(order: Order) -> bool:
    """Return whether no status change can follow: delivered, or cancelled and refunded."""
    cancelled = order.status is OrderStatus.CANCELLED and order.payment_settled
    return cancelled or order.status is OrderStatus.DELIVERED
