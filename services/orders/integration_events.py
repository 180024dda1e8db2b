"""What the rest of the shop hears of an order's events, if anything."""

from google.protobuf import message
from mamie_rosa.events.v1 import events_pb2

from services.common.money import format_amount
from services.orders import domain
from services.orders.domain import Event, Item, Order


def tell(order: Order, event: Event) -> message.Message | None:
    """Return the message that tells the shop of `event`, given the order after it.

    A cancellation is told when the money is settled, for only then is the refund known.
    """
    match event:
        case domain.OrderConfirmed():
            return _created(order)
        case domain.OrderShipped(tracking_number=number):
            return events_pb2.OrderShipped(
                order_id=order.order_id, user_id=order.user_id, tracking_number=number
            )
        case domain.OrderDelivered():
            return events_pb2.OrderDelivered(
                order_id=order.order_id, user_id=order.user_id, items=_lines(order)
            )
        case domain.PaymentSettled(refunded=refunded):
            return events_pb2.OrderCancelled(
                order_id=order.order_id,
                user_id=order.user_id,
                reason=order.cancel_reason,
                refund_amount=format_amount(refunded),
                currency=order.placed.currency,
            )
    return None


def _created(order: Order) -> events_pb2.OrderCreated:
    return events_pb2.OrderCreated(
        order_id=order.order_id,
        user_id=order.user_id,
        items=_lines(order),
        total_amount=format_amount(order.total),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final),
        currency=order.placed.currency,
        placed_time=order.created_at,
    )


def _lines(order: Order) -> list[events_pb2.OrderLine]:
    return [_line(item) for item in order.placed.items]


def _line(item: Item) -> events_pb2.OrderLine:
    return events_pb2.OrderLine(
        product_id=item.product_id,
        sku=item.sku,
        title=item.title,
        quantity=item.quantity,
        unit_price=format_amount(item.unit_price),
        category=item.category,
    )
