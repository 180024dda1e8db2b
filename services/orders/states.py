"""The states of an order and of its payment, and the transitions between them.

    PENDING -> PAYMENT_PROCESSING -> CONFIRMED -> PROCESSING -> SHIPPED -> DELIVERED
       |               |                |             |
       +---------------+----------------+-------------+--> CANCELLED

The saga makes the transitions up to CONFIRMED, administrators those after it, and a customer
may cancel until the order is shipped.
"""

from collections.abc import Mapping
from enum import StrEnum


class OrderStatus(StrEnum):
    """The state of an order; see the diagram above."""

    PENDING = "PENDING"
    PAYMENT_PROCESSING = "PAYMENT_PROCESSING"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    """The state of an order's payment."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    NOT_CHARGED = "NOT_CHARGED"


UNCONFIRMED = frozenset({OrderStatus.PENDING, OrderStatus.PAYMENT_PROCESSING})
"""The saga still works towards CONFIRMED."""

PURCHASED = frozenset(
    {
        OrderStatus.CONFIRMED,
        OrderStatus.PROCESSING,
        OrderStatus.SHIPPED,
        OrderStatus.DELIVERED,
    }
)
"""The order is paid and its stock committed."""

TO_SHIP = frozenset({OrderStatus.CONFIRMED, OrderStatus.PROCESSING})
"""The order is paid, and its parcel has not left."""

CANCELLABLE = UNCONFIRMED | TO_SHIP

FULFILMENT: Mapping[OrderStatus, OrderStatus] = {
    OrderStatus.CONFIRMED: OrderStatus.PROCESSING,
    OrderStatus.PROCESSING: OrderStatus.SHIPPED,
    OrderStatus.SHIPPED: OrderStatus.DELIVERED,
}
"""The one transition that an administrator may make from each state."""
