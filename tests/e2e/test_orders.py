"""Orders from placement to delivery or cancellation."""

import pytest

from tests.support.shop import error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def test_an_order_is_pending_and_then_confirmed_within_a_second(shop, customer):
    product = shop.add_product(stock=10, price="12.90")
    placed = customer.order((product, 2))
    assert placed.status_code == 201
    order = placed.json()
    assert order["status"] == "PENDING"
    assert (order["totalAmount"], order["discount"], order["finalAmount"], order["currency"]) == (
        "25.80",
        "0.00",
        "25.80",
        "EUR",
    )
    confirmed = customer.await_status(order["orderId"], "CONFIRMED", seconds=1)
    assert confirmed["paymentStatus"] == "CAPTURED"
    assert confirmed["shipping"]["address"]["city"] == "Paris"
    assert shop.stock_of(product) == 8


def test_a_promotion_lowers_the_price_and_is_redeemed_once(shop, customer):
    product, code = shop.add_product(price="12.90"), shop.add_promotion()
    order = customer.order((product, 2), promoCode=code.lower()).json()
    assert (order["totalAmount"], order["discount"], order["finalAmount"]) == (
        "25.80",
        "2.58",
        "23.22",
    )
    customer.await_status(order["orderId"], "CONFIRMED")
    assert shop.uses_of(code) == 1


def test_a_product_can_be_ordered_by_its_sku(customer):
    order_id = customer.buy(({"productId": "prod_001"}, 1))
    assert customer.get_order(order_id)["items"][0]["sku"] == "prod_001"


def test_an_order_keeps_the_prices_at_its_placement(shop, customer):
    product = shop.add_product(price="10.00")
    order_id = customer.place((product, 1))
    changed = {"title": "New", "category": "dog-food", "price": "99.00"}
    assert shop.admin.put(f"/api/products/{product['sku']}", changed).status_code == 200
    assert customer.get_order(order_id)["totalAmount"] == "10.00"


def test_missing_stock_is_named_and_nothing_stays_reserved(shop, customer):
    enough, short = shop.add_product(stock=5), shop.add_product(stock=1)
    code = shop.add_promotion()
    answer = customer.order((enough, 1), (short, 2), promoCode=code)
    assert error_of(answer) == (422, "OUT_OF_STOCK")
    facts = answer.json()["details"][0]["metadata"]
    assert (facts["productIds"], facts["availableQuantities"]) == (short["productId"], "1")
    assert (shop.stock_of(enough), shop.stock_of(short), shop.uses_of(code)) == (5, 1, 0)
    assert customer.get("/api/orders").json()["total"] == 0


@pytest.mark.parametrize(
    ("code", "reason"),
    [("EXPIRED20", "CODE_EXPIRED"), ("SOLDOUT5", "CODE_EXHAUSTED"), ("NOSUCH", "CODE_UNKNOWN")],
)
def test_an_invalid_code_is_rejected_with_the_reason(shop, customer, code, reason):
    product = shop.add_product(stock=5)
    answer = customer.order((product, 1), promoCode=code)
    assert error_of(answer) == (422, "PROMO_INVALID")
    assert answer.json()["details"][0]["metadata"]["promoReason"] == reason
    assert shop.stock_of(product) == 5


def test_a_declined_payment_cancels_the_order_and_releases_stock_and_code(shop, customer):
    product, code = shop.add_product(stock=5), shop.add_promotion(maxUses=1)
    order_id = customer.place((product, 2), promoCode=code, paymentToken="tok_declined")
    order = customer.await_status(order_id, "CANCELLED")
    assert order["cancelReason"] == "PAYMENT_DECLINED"
    eventually(lambda: customer.history(order_id)[-1] == "StockReleased")
    assert (shop.stock_of(product), shop.uses_of(code)) == (5, 0)


def test_cancelling_a_confirmed_order_refunds_it_and_releases_stock_and_code(shop, customer):
    product, code = shop.add_product(stock=5, price="9.99"), shop.add_promotion()
    order_id = customer.buy((product, 3), promoCode=code)
    answer = customer.cancel(order_id)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "orderId": order_id,
            "status": "CANCELLED",
            "refundAmount": "26.97",
            "paymentStatus": "REFUNDED",
        },
    )
    assert customer.get_order(order_id)["paymentStatus"] == "REFUNDED"
    assert (shop.stock_of(product), shop.uses_of(code)) == (5, 0)
    assert customer.cancel(order_id, "twice").json() == answer.json()


def test_an_order_is_delivered_one_state_after_the_other(shop, customer):
    order_id = customer.buy((shop.add_product(), 1))
    path = f"/api/orders/{order_id}/status"
    assert error_of(shop.admin.post(path, {"status": "DELIVERED"})) == (409, "WRONG_TRANSITION")
    assert shop.admin.post(path, {"status": "PROCESSING"}).json()["status"] == "PROCESSING"
    shipped = shop.admin.post(path, {"status": "SHIPPED", "trackingNumber": "LA123"}).json()
    assert (shipped["status"], shipped["shipping"]["trackingNumber"]) == ("SHIPPED", "LA123")
    assert error_of(customer.cancel(order_id)) == (409, "ORDER_NOT_CANCELLABLE")
    assert shop.admin.post(path, {"status": "DELIVERED"}).json()["status"] == "DELIVERED"
    assert customer.history(order_id) == [
        "OrderPlaced",
        "PaymentStarted",
        "PaymentCaptured",
        "OrderConfirmed",
        "OrderPreparationStarted",
        "OrderShipped",
        "OrderDelivered",
    ]


def test_orders_are_listed_newest_first_and_in_pages(shop, customer):
    product = shop.add_product()
    ids = [customer.place((product, 1)) for _ in range(3)]
    first = customer.get("/api/orders?limit=2").json()
    second = customer.get(f"/api/orders?userId={customer.user_id}&limit=2&page=2").json()
    listed = [order["orderId"] for page in (first, second) for order in page["orders"]]
    assert listed == ids[::-1]
    assert (first["total"], first["page"], second["page"]) == (3, 1, 2)


def test_an_order_may_have_fifty_lines(shop, customer):
    products = [shop.add_product() for _ in range(50)]
    order_id = customer.place(*((product, 1) for product in products))
    assert customer.await_status(order_id, "CONFIRMED")["totalAmount"] == "500.00"
