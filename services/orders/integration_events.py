"""The integration events that orders publish, built from domain events."""

from google.protobuf import message
from mamie_rosa.events.v1 import events_pb2

from services.common.money import format_amount
from services.common.rpc.timestamps import to_timestamp
from services.orders.domain import Order
from services.orders.events import (
    Event,
    Item,
    OrderConfirmed,
    OrderDelivered,
    OrderShipped,
    PaymentSettled,
)


def to_integration_event(order: Order, event: Event) -> message.Message | None:
    """Build what is published about a domain event, given the order after it; often nothing.

    A cancellation is published once the payment is settled: only then is the refund known.
    """
    match event:
        case OrderConfirmed():
            return _created(order)
        case OrderShipped(tracking_number=number):
            return events_pb2.OrderShipped(
                order_id=order.order_id, user_id=order.user_id, tracking_number=number
            )
        case OrderDelivered():
            return events_pb2.OrderDelivered(
                order_id=order.order_id, user_id=order.user_id, items=_lines(order)
            )
        case PaymentSettled(refunded=refunded):
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
        total_amount=format_amount(order.total_amount),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final_amount),
        currency=order.placed.currency,
        placed_time=to_timestamp(order.created_at),
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
