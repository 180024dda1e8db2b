"""Orders by the status that they reached, and the money: counted when it happens."""

from prometheus_client import Counter

from services.orders.domain import Order
from services.orders.states import OrderStatus, PaymentStatus

ORDERS = Counter("mamie_orders", "Orders that reached a status.", ("status",))
REVENUE = Counter(
    "mamie_order_revenue", "Amounts of the orders that were confirmed.", ("currency",)
)
REFUNDS = Counter("mamie_order_refunds", "Amounts that were refunded.", ("currency",))

for _status in OrderStatus:
    ORDERS.labels(_status)
for _counter in (REVENUE, REFUNDS):
    _counter.labels("EUR")  # the currency of the shop


def count_change(before: Order | None, after: Order) -> None:
    """Count what an order has become."""
    if before is None or before.status is not after.status:
        ORDERS.labels(after.status).inc()
        if after.status is OrderStatus.CONFIRMED:
            REVENUE.labels(after.placed.currency).inc(float(after.final_amount))
    was = before.payment_status if before else None
    if after.payment_status is PaymentStatus.REFUNDED and was is not PaymentStatus.REFUNDED:
        REFUNDS.labels(after.placed.currency).inc(float(after.refund_amount))
