"""The orders' two faces: for clients, and for the other services."""

from collections.abc import Sequence

from mamie_rosa.orders.internal.v1 import orders_pb2 as internal_pb2
from mamie_rosa.orders.internal.v1 import orders_pb2_grpc as internal_pb2_grpc
from mamie_rosa.orders.v1 import orders_pb2, orders_pb2_grpc

from services.common.context import current
from services.common.errors import InvalidArgumentError
from services.common.money import format_amount
from services.common.rpc import authorization, rest_hints
from services.orders import codec, domain
from services.orders.checkout import Cart, Checkout
from services.orders.domain import Address, Order, OrderStatus, Recorded
from services.orders.repository import OrdersRepository
from services.orders.saga import Saga

DEFAULT_LIMIT = 20
DEFAULT_PAYMENT_TOKEN = "tok_ok"  # noqa: S105 - the sandbox's name for "a good card"
LONGEST_KEY = 255


class InvalidIdempotencyKeyError(InvalidArgumentError):
    """The Idempotency-Key is too long."""

    reason = "INVALID_IDEMPOTENCY_KEY"


class OrdersServicer(orders_pb2_grpc.OrdersServiceServicer):
    """Places, shows, cancels and moves orders."""

    def __init__(self, *, repository: OrdersRepository, checkout: Checkout, saga: Saga) -> None:
        self._repository = repository
        self._checkout = checkout
        self._saga = saga

    def CreateOrder(self, request, context):
        """Place an order for the caller."""
        caller = authorization.require_user()
        key = current().idempotency_key
        if len(key) > LONGEST_KEY:
            raise InvalidIdempotencyKeyError(f"Use at most {LONGEST_KEY} characters.")
        order = self._checkout.place(caller.user_id, _cart(request), key)
        return rest_hints.created(context, _render_placed(order))

    def GetOrder(self, request, context):
        """Return an order to its owner or an administrator."""
        return _render(self._load_own(request.id))

    def ListOrders(self, request, context):
        """List the orders of one client, newest first."""
        user_id = request.user_id or authorization.require_user().user_id
        authorization.require_self_or_admin(user_id)
        page = request.page or 1
        found, total = self._repository.list_of(
            user_id, page=page, limit=request.limit or DEFAULT_LIMIT
        )
        return orders_pb2.ListOrdersResponse(orders=map(_render, found), total=total, page=page)

    def CancelOrder(self, request, context):
        """Cancel an order and return its money."""
        own = self._load_own(request.id)
        cancelled = self._saga.apply(
            own.order_id, lambda order: domain.cancel(order, request.reason)
        )
        return orders_pb2.CancelOrderResponse(
            order_id=cancelled.order_id,
            status=cancelled.status.value,
            refund_amount=format_amount(cancelled.refund),
        )

    def UpdateOrderStatus(self, request, context):
        """Move an order on to PROCESSING, SHIPPED or DELIVERED."""
        authorization.require_admin()
        wanted = OrderStatus(orders_pb2.OrderStatus.Name(request.status))
        moved = self._saga.apply(
            request.id, lambda order: domain.move_on(order, wanted, request.tracking_number)
        )
        return _render(moved)

    def GetOrderHistory(self, request, context):
        """Return every event of an order, oldest first."""
        order = self._load_own(request.id)
        history = self._repository.history(order.order_id)
        return orders_pb2.GetOrderHistoryResponse(events=_render_history(order.order_id, history))

    def _load_own(self, order_id: str) -> Order:
        """Return an order that the caller may see.

        A stranger's order and one that does not exist are told apart only to those who may
        see orders at all; ids cannot be guessed.
        """
        authorization.require_user()
        order = self._repository.load(order_id)
        authorization.require_self_or_admin(order.user_id)
        return order


class InternalOrdersServicer(internal_pb2_grpc.OrdersServiceServicer):
    """What the other services ask about orders."""

    def __init__(self, *, repository: OrdersRepository) -> None:
        self._repository = repository

    def VerifyPurchase(self, request, context):
        """Return whether a client has bought a product."""
        orders = self._repository.with_product(request.user_id, request.product_id)
        has_bought = any(order.is_bought for order in orders)
        return internal_pb2.VerifyPurchaseResponse(has_bought=has_bought)


def _cart(request: orders_pb2.CreateOrderRequest) -> Cart:
    address = request.shipping_address
    return Cart(
        lines=[(item.product_id, item.quantity) for item in request.items],
        promo_code=request.promo_code.upper(),
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


def _render_placed(order: Order) -> orders_pb2.CreateOrderResponse:
    """Return the answer of the moment the order was placed, whatever happened since."""
    return orders_pb2.CreateOrderResponse(
        order_id=order.order_id,
        status=OrderStatus.PENDING.value,
        items=map(_render_item, order.placed.items),
        total_amount=format_amount(order.total),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final),
        currency=order.placed.currency,
    )


def _render(order: Order) -> orders_pb2.Order:
    return orders_pb2.Order(
        order_id=order.order_id,
        user_id=order.user_id,
        status=order.status.value,
        items=map(_render_item, order.placed.items),
        total_amount=format_amount(order.total),
        discount=format_amount(order.placed.discount),
        final_amount=format_amount(order.final),
        currency=order.placed.currency,
        promo_code=order.placed.promo_code,
        payment_status=order.payment_status.value,
        shipping=_render_shipping(order),
        cancel_reason=order.cancel_reason,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


def _render_item(item: domain.Item) -> orders_pb2.OrderItem:
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


def _render_history(order_id: str, history: Sequence[Recorded]) -> list[orders_pb2.OrderEvent]:
    """Return the events, each with the state that the order was in after it."""
    return [
        orders_pb2.OrderEvent(
            sequence=recorded.sequence,
            type=type(recorded.event).__name__,
            time=recorded.time,
            status=domain.fold(order_id, history[:position]).status.value,
            data=codec.describe(recorded.event),
        )
        for position, recorded in enumerate(history, 1)
    ]
