"""The two gRPC services of orders: the public one, and the internal one for other services."""

import unicodedata
from collections.abc import Iterator, Sequence

import grpc
from mamie_rosa.orders.internal.v1 import orders_pb2 as internal_pb2
from mamie_rosa.orders.internal.v1 import orders_pb2_grpc as internal_pb2_grpc
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc
from typing_extensions import override

from services.common.context import current
from services.common.errors import InvalidArgumentError
from services.common.money import format_amount
from services.common.rpc import authorization, rest_hints
from services.common.rpc.timestamps import to_timestamp
from services.orders import codec, domain
from services.orders.decisions import Decisions
from services.orders.domain import Order
from services.orders.events import Address, Item, RecordedEvent
from services.orders.placing.checkout import Cart, Checkout
from services.orders.ports import OrdersRepository
from services.orders.states import OrderStatus

DEFAULT_LIMIT = 20
DEFAULT_PAYMENT_TOKEN = "tok_ok"  # noqa: S105 - the sandbox's token of a valid card
MAX_KEY_LENGTH = 255


class InvalidIdempotencyKeyError(InvalidArgumentError):
    """The Idempotency-Key is too long."""

    reason = "INVALID_IDEMPOTENCY_KEY"


class OrdersServicer(orders_pb2_grpc.OrdersServiceServicer):
    """Places, shows, cancels and fulfils orders."""

    def __init__(
        self, *, orders: OrdersRepository, checkout: Checkout, decisions: Decisions
    ) -> None:
        self._orders = orders
        self._checkout = checkout
        self._decisions = decisions

    @override
    def CreateOrder(
        self, request: orders_pb2.CreateOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.CreateOrderResponse:
        caller = authorization.require_user()
        key = current().idempotency_key
        if len(key) > MAX_KEY_LENGTH:
            raise InvalidIdempotencyKeyError(f"Use at most {MAX_KEY_LENGTH} characters.")
        order = self._checkout.place(caller.user_id, _to_cart(request), key)
        return rest_hints.created(context, _render_placed(order))

    @override
    def GetOrder(
        self, request: orders_pb2.GetOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.Order:
        return rest_hints.revalidated(context, render_order(self._load_own(request.id)))

    @override
    def ListOrders(
        self, request: orders_pb2.ListOrdersRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListOrdersResponse:
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        page = request.page or 1
        found, total = self._orders.list_by_user(
            user_id, page=page, limit=request.limit or DEFAULT_LIMIT
        )
        orders = map(render_order, found)
        response = orders_pb2.ListOrdersResponse(orders=orders, total=total, page=page)
        return rest_hints.revalidated(context, response)

    @override
    def CancelOrder(
        self, request: orders_pb2.CancelOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.CancelOrderResponse:
        cancelled = self._decisions.apply(
            self._load_own(request.id), lambda order: domain.cancel(order, request.reason)
        )
        return orders_pb2.CancelOrderResponse(
            order_id=cancelled.order_id,
            status=_render_status(cancelled),
            refund_amount=format_amount(cancelled.refund_amount),
            payment_status=_render_payment_status(cancelled),
        )

    @override
    def UpdateOrderStatus(
        self, request: orders_pb2.UpdateOrderStatusRequest, context: grpc.ServicerContext
    ) -> orders_pb2.Order:
        authorization.require_admin()
        wanted = OrderStatus(orders_pb2.OrderStatus.Name(request.status))
        changed = self._decisions.apply(
            self._orders.load(request.id),
            lambda order: domain.change_status(order, wanted, request.tracking_number),
        )
        return render_order(changed)

    @override
    def GetOrderHistory(
        self, request: orders_pb2.GetOrderHistoryRequest, context: grpc.ServicerContext
    ) -> orders_pb2.GetOrderHistoryResponse:
        order = self._load_own(request.id)
        history = self._orders.history(order.order_id)
        events = _render_history(order.order_id, history)
        response = orders_pb2.GetOrderHistoryResponse(events=events)
        return rest_hints.revalidated(context, response)

    def _load_own(self, order_id: str) -> Order:
        """Load an order that the caller may see; NotYoursError for another customer's.

        OrderNotFoundError shows any signed-in caller which orders exist; ids cannot be guessed.
        """
        authorization.require_user()
        order = self._orders.load(order_id)
        authorization.require_self_or_admin(order.user_id)
        return order


class InternalOrdersServicer(internal_pb2_grpc.OrdersServiceServicer):
    """Answers other services about orders."""

    def __init__(self, *, orders: OrdersRepository) -> None:
        self._orders = orders

    @override
    def VerifyPurchase(
        self, request: internal_pb2.VerifyPurchaseRequest, context: grpc.ServicerContext
    ) -> internal_pb2.VerifyPurchaseResponse:
        orders = self._orders.list_by_product(request.user_id, request.product_id)
        has_bought = any(order.is_purchased for order in orders)
        return internal_pb2.VerifyPurchaseResponse(has_bought=has_bought)


def _to_cart(request: orders_pb2.CreateOrderRequest) -> Cart:
    address = request.shipping_address
    return Cart(
        lines=[(item.product_id, item.quantity) for item in request.items],
        promo_code=_normalize_code(request.promo_code),
        address=Address(
            recipient=address.recipient,
            line1=address.line1,
            line2=address.line2,
            postal_code=address.postal_code,
            city=address.city,
            country=address.country,
        ),
        payment_token=request.payment_token or DEFAULT_PAYMENT_TOKEN,
    )


def _normalize_code(typed: str) -> str:
    """Normalize a promotion code as people type it: Unicode NFC, no blanks around, upper case."""
    return unicodedata.normalize("NFC", typed).strip().upper()


def _render_placed(order: Order) -> orders_pb2.CreateOrderResponse:
    """Render an order as it was placed, whatever happened since."""
    return orders_pb2.CreateOrderResponse(
        order_id=order.order_id,
        status=orders_pb2.PENDING,
        items=map(_render_item, order.placed.items),
        total_amount=format_amount(order.total_amount),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final_amount),
        currency=order.placed.currency,
    )


def render_order(order: Order) -> orders_pb2.Order:
    """Render an order as it stands."""
    return orders_pb2.Order(
        order_id=order.order_id,
        user_id=order.user_id,
        status=_render_status(order),
        items=map(_render_item, order.placed.items),
        total_amount=format_amount(order.total_amount),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final_amount),
        currency=order.placed.currency,
        promo_code=order.placed.promo_code,
        payment_status=_render_payment_status(order),
        shipping=_render_shipping(order),
        cancel_reason=order.cancel_reason,
        created_at=to_timestamp(order.created_at),
        updated_at=to_timestamp(order.updated_at),
    )


def _render_item(item: Item) -> orders_pb2.OrderItem:
    return orders_pb2.OrderItem(
        product_id=item.product_id,
        sku=item.sku,
        title=item.title,
        quantity=item.quantity,
        unit_price=format_amount(item.unit_price),
        line_total=format_amount(item.total),
    )


def _render_shipping(order: Order) -> orders_pb2.Shipping:
    address = order.placed.address
    return orders_pb2.Shipping(
        address=orders_pb2.Address(
            recipient=address.recipient,
            line1=address.line1,
            line2=address.line2,
            postal_code=address.postal_code,
            city=address.city,
            country=address.country,
        ),
        tracking_number=order.tracking_number,
    )


def _render_status(order: Order) -> "orders_pb2.OrderStatus.ValueType":
    return orders_pb2.OrderStatus.Value(order.status.value)


def _render_payment_status(order: Order) -> "orders_pb2.Order.PaymentStatus.ValueType":
    return orders_pb2.Order.PaymentStatus.Value(order.payment_status.value)


def _render_history(
    order_id: str, history: Sequence[RecordedEvent]
) -> Iterator[orders_pb2.OrderEvent]:
    """Render the events, each with the order's state after it."""
    for position, recorded in enumerate(history, 1):
        yield orders_pb2.OrderEvent(
            sequence=recorded.sequence,
            type=type(recorded.event).__name__,
            time=to_timestamp(recorded.time),
            status=_render_status(domain.fold(order_id, history[:position])),
            data=codec.describe(recorded.event),
        )
