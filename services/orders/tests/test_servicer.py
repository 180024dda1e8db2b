"""The answers of the public servicer, and who may call it."""

from collections.abc import Callable
from decimal import Decimal

import grpc
import pytest
from mamie_rosa.orders.v1 import orders_pb2

from services.common.rpc.testing import ADMIN, ALICE, ALICE_ID, ANONYMOUS, BOB, InMemoryServer
from services.orders.decisions import Decisions
from services.orders.events import PromoRedeemed
from services.orders.placing.checkout import Checkout
from services.orders.saga import SagaOrchestrator
from services.orders.servicer import OrdersServicer
from services.orders.steps import SagaSteps
from services.orders.tests.fakes import NOW, InMemoryOrdersRepository
from services.orders.tests.upstreams import FakeCatalog, FakePayments, FakePromotions

SERVICE = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"]
ADDRESS = orders_pb2.Address(
    line1="1 rue des Lilas", postal_code="75011", city="Paris", country="FR"
)
CART = orders_pb2.CreateOrderRequest(
    items=[orders_pb2.CartItem(product_id="sku_001", quantity=2)],
    promo_code="welcome10",
    shipping_address=ADDRESS,
)


class ManualOrchestrator(SagaOrchestrator):
    """Drives a submitted order only when the test says so, in the test's own thread."""

    def submit(self, order, *, payment_token=None):
        pass


class World:
    def __init__(self):
        self.orders = InMemoryOrdersRepository()
        self.catalog, self.payments = FakeCatalog(), FakePayments()
        promotions = FakePromotions()
        steps = SagaSteps(
            catalog=self.catalog,
            promotions=promotions,
            payments=self.payments,
            sagas=self.orders.sagas,
        )
        orchestrator = ManualOrchestrator(
            orders=self.orders,
            sagas=self.orders.sagas,
            steps=steps,
            instance="orders-1",
            clock=lambda: NOW,
        )
        self._orchestrator = orchestrator
        checkout = Checkout(
            orders=self.orders,
            attempts=self.orders.attempts,
            catalog=self.catalog,
            promotions=promotions,
            orchestrator=orchestrator,
            hold_seconds=900,
        )
        decisions = Decisions(orders=self.orders, orchestrator=orchestrator)
        servicer = OrdersServicer(orders=self.orders, checkout=checkout, decisions=decisions)
        self.server = InMemoryServer(SERVICE, servicer)

    def call(self, method, request, who=ALICE):
        return self.server.call(method, request, who)

    def drive(self, order_id):
        self._orchestrator.drive(self.orders.load(order_id))

    def confirmed(self) -> str:
        order_id = self.call("CreateOrder", CART).response.order_id
        self.drive(order_id)
        return order_id


@pytest.fixture
def world():
    return World()


def test_a_new_order_is_pending_and_has_its_amounts(world):
    answer = world.call("CreateOrder", CART)
    placed = answer.response
    assert (answer.http, placed.status) == (201, orders_pb2.PENDING)
    amounts = (placed.total_amount, placed.discount, placed.final_amount, placed.currency)
    assert amounts == ("25.80", "2.58", "23.22", "EUR")


def test_a_repeat_gets_the_first_answer_whatever_happened_since(world):
    who = ALICE | {"idempotency-key": "key"}
    first = world.call("CreateOrder", CART, who).response
    world.drive(first.order_id)
    assert world.call("CreateOrder", CART, who).response == first


def test_a_key_that_is_too_long_is_rejected(world):
    answer = world.call("CreateOrder", CART, ALICE | {"idempotency-key": "k" * 256})
    assert answer.reason == "INVALID_IDEMPOTENCY_KEY"


INVALID = {
    "items": orders_pb2.CreateOrderRequest(shipping_address=ADDRESS),
    "items[0].quantity": orders_pb2.CreateOrderRequest(
        items=[orders_pb2.CartItem(product_id="sku_001", quantity=-1)], shipping_address=ADDRESS
    ),
    "shippingAddress": orders_pb2.CreateOrderRequest(items=CART.items),
    "shippingAddress.country": orders_pb2.CreateOrderRequest(
        items=CART.items,
        shipping_address=orders_pb2.Address(
            line1="1", postal_code="75011", city="Paris", country="France"
        ),
    ),
}


@pytest.mark.parametrize("field", INVALID)
def test_an_invalid_cart_is_rejected_with_the_field(world, field):
    from google.rpc import error_details_pb2

    answer = world.call("CreateOrder", INVALID[field])
    assert answer.reason == "INVALID_FIELDS"
    violations = answer.detail(error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == [field]


def test_a_cart_of_more_than_fifty_lines_is_rejected(world):
    items = [orders_pb2.CartItem(product_id=f"p{n}", quantity=1) for n in range(51)]
    request = orders_pb2.CreateOrderRequest(items=items, shipping_address=ADDRESS)
    assert world.call("CreateOrder", request).code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"on_sale": 1}, "OUT_OF_STOCK"),
        ({"item": "unknown"}, "PRODUCT_NOT_FOUND"),
        ({"code": "EXPIRED20"}, "PROMO_INVALID"),
    ],
)
def test_a_cart_that_cannot_be_ordered_answers_422(world, changes, reason):
    world.catalog.on_sale = changes.get("on_sale", 10)
    request = orders_pb2.CreateOrderRequest()
    request.CopyFrom(CART)
    request.items[0].product_id = changes.get("item", "sku_001")
    request.promo_code = changes.get("code", "WELCOME10")
    answer = world.call("CreateOrder", request)
    assert (answer.http, answer.reason) == (422, reason)
    assert world.call("ListOrders", orders_pb2.ListOrdersRequest()).response.total == 0


def test_an_unavailable_upstream_answers_unavailable(world):
    world.catalog.unavailable.add("reserve")
    assert world.call("CreateOrder", CART).code is grpc.StatusCode.UNAVAILABLE


def test_an_order_is_rendered_with_payment_promo_code_address_and_items(world):
    order_id = world.confirmed()
    order = world.call("GetOrder", orders_pb2.GetOrderRequest(id=order_id)).response
    assert (order.status, order.payment_status) == (
        orders_pb2.CONFIRMED,
        orders_pb2.Order.CAPTURED,
    )
    assert (order.promo_code, order.shipping.address.city) == ("WELCOME10", "Paris")
    assert order.items[0].line_total == "25.80"


CALLS: dict[str, Callable] = {
    "GetOrder": orders_pb2.GetOrderRequest,
    "CancelOrder": lambda id: orders_pb2.CancelOrderRequest(id=id, reason="why"),
    "GetOrderHistory": orders_pb2.GetOrderHistoryRequest,
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("who", "code"),
    [
        (ANONYMOUS, grpc.StatusCode.UNAUTHENTICATED),
        (BOB, grpc.StatusCode.PERMISSION_DENIED),
        (ALICE, grpc.StatusCode.OK),
        (ADMIN, grpc.StatusCode.OK),
    ],
)
def test_an_order_is_accessible_to_its_customer_and_administrators(world, method, who, code):
    assert world.call(method, CALLS[method](id=world.confirmed()), who).code is code


def test_an_unknown_order_is_not_found(world):
    answer = world.call("GetOrder", orders_pb2.GetOrderRequest(id="unknown"))
    assert answer.reason == "ORDER_NOT_FOUND"


@pytest.mark.parametrize(
    ("who", "user_id", "code"),
    [
        (ANONYMOUS, "", grpc.StatusCode.UNAUTHENTICATED),
        (ALICE, "", grpc.StatusCode.OK),
        (BOB, ALICE_ID, grpc.StatusCode.PERMISSION_DENIED),
        (ADMIN, ALICE_ID, grpc.StatusCode.OK),
    ],
)
def test_a_list_is_accessible_to_its_customer_and_administrators(world, who, user_id, code):
    request = orders_pb2.ListOrdersRequest(user_id=user_id)
    assert world.call("ListOrders", request, who).code is code


def test_a_cancel_answers_the_refund(world):
    order_id = world.confirmed()
    world.payments.refunded = Decimal("23.22")
    request = orders_pb2.CancelOrderRequest(id=order_id, reason="changed my mind")
    answer = world.call("CancelOrder", request).response
    assert (answer.status, answer.refund_amount) == (orders_pb2.CANCELLED, "23.22")


@pytest.mark.parametrize("paid", [True, False])
def test_a_cancel_loads_the_order_once(world, paid):
    order_id = world.confirmed() if paid else world.call("CreateOrder", CART).response.order_id
    world.orders.loads.clear()
    world.call("CancelOrder", orders_pb2.CancelOrderRequest(id=order_id, reason="why"))
    assert world.orders.loads == [order_id]


def test_a_cancel_loads_the_order_twice_after_a_conflict(world):
    order_id = world.call("CreateOrder", CART).response.order_id
    append, conflicts = world.orders.append, iter([True])

    def append_after_another_writer(order, events, **options):
        if next(conflicts, False):
            append(order, [PromoRedeemed()])
        return append(order, events, **options)

    world.orders.append = append_after_another_writer
    world.orders.loads.clear()
    request = orders_pb2.CancelOrderRequest(id=order_id, reason="why")
    assert world.call("CancelOrder", request).response.status == orders_pb2.CANCELLED
    assert world.orders.loads == [order_id] * 2
    assert world.orders.load(order_id).stock_released


def change_status(world, order_id, status, **more):
    request = orders_pb2.UpdateOrderStatusRequest(id=order_id, status=status, **more)
    return world.call("UpdateOrderStatus", request, ADMIN)


def test_an_administrator_fulfils_an_order(world):
    order_id = world.confirmed()
    change_status(world, order_id, orders_pb2.PROCESSING)
    shipped = change_status(world, order_id, orders_pb2.SHIPPED, tracking_number="TRACK").response
    assert shipped.shipping.tracking_number == "TRACK"
    assert (
        change_status(world, order_id, orders_pb2.DELIVERED).response.status == orders_pb2.DELIVERED
    )
    cancel = orders_pb2.CancelOrderRequest(id=order_id, reason="too late")
    assert world.call("CancelOrder", cancel).reason == "ORDER_NOT_CANCELLABLE"


def test_no_state_is_skipped(world):
    answer = change_status(world, world.confirmed(), orders_pb2.SHIPPED)
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_TRANSITION")


def test_only_administrators_change_the_status(world):
    request = orders_pb2.UpdateOrderStatusRequest(
        id=world.confirmed(), status=orders_pb2.PROCESSING
    )
    assert world.call("UpdateOrderStatus", request).reason == "ADMIN_ONLY"


def test_the_history_has_every_event_and_the_state_after_it(world):
    request = orders_pb2.GetOrderHistoryRequest(id=world.confirmed())
    events = world.call("GetOrderHistory", request).response.events
    assert [(event.sequence, event.type, event.status) for event in events] == [
        (1, "OrderPlaced", orders_pb2.PENDING),
        (2, "PromoRedeemed", orders_pb2.PENDING),
        (3, "PaymentStarted", orders_pb2.PAYMENT_PROCESSING),
        (4, "PaymentCaptured", orders_pb2.PAYMENT_PROCESSING),
        (5, "OrderConfirmed", orders_pb2.CONFIRMED),
    ]
    assert events[3].data == {"paymentId": "payment"}


def test_a_cancel_says_that_the_refund_is_not_settled_while_payments_are_unavailable(world):
    order_id = world.confirmed()
    world.payments.unavailable.add("refund")
    request = orders_pb2.CancelOrderRequest(id=order_id, reason="changed my mind")
    answer = world.call("CancelOrder", request).response
    assert answer.payment_status == orders_pb2.Order.REFUNDING
