"""An order from the cart to the door, and back."""

import pytest

from tests.support.shop import problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def test_an_order_is_pending_at_first_and_confirmed_within_a_second(shop, alice):
    product = shop.add_product(stock=10, price="12.90")
    placed = alice.order((product, 2))
    assert placed.status_code == 201
    order = placed.json()
    assert order["status"] == "PENDING"
    assert (order["totalAmount"], order["discount"], order["finalAmount"], order["currency"]) == (
        "25.80",
        "0.00",
        "25.80",
        "EUR",
    )
    confirmed = alice.await_status(order["orderId"], "CONFIRMED", seconds=1)
    assert confirmed["paymentStatus"] == "CAPTURED"
    assert confirmed["shipping"]["address"]["city"] == "Paris"
    assert shop.stock_of(product) == 8


def test_a_promotion_lowers_the_price_and_is_counted_once(shop, alice):
    product, code = shop.add_product(price="12.90"), shop.add_promotion()
    order = alice.order((product, 2), promoCode=code.lower()).json()
    assert (order["totalAmount"], order["discount"], order["finalAmount"]) == (
        "25.80",
        "2.58",
        "23.22",
    )
    alice.await_status(order["orderId"], "CONFIRMED")
    assert shop.uses_of(code) == 1


def test_a_product_is_ordered_by_its_sku_too(alice):
    order_id = alice.place(({"productId": "prod_001"}, 1))
    confirmed = alice.await_status(order_id, "CONFIRMED")
    assert confirmed["items"][0]["sku"] == "prod_001"


def test_an_order_is_at_the_prices_of_its_moment(shop, alice):
    product = shop.add_product(price="10.00")
    order_id = alice.place((product, 1))
    changed = {"title": "New", "category": "dog-food", "price": "99.00"}
    assert shop.admin.put(f"/api/products/{product['sku']}", changed).status_code == 200
    assert alice.see(order_id)["totalAmount"] == "10.00"


def test_what_is_short_is_named_and_nothing_is_left_behind(shop, alice):
    enough, short = shop.add_product(stock=5), shop.add_product(stock=1)
    code = shop.add_promotion()
    answer = alice.order((enough, 1), (short, 2), promoCode=code)
    assert problem(answer) == (422, "OUT_OF_STOCK")
    facts = answer.json()["details"][0]["metadata"]
    assert (facts["productIds"], facts["availableQuantities"]) == (short["productId"], "1")
    assert (shop.stock_of(enough), shop.stock_of(short), shop.uses_of(code)) == (5, 1, 0)
    assert alice.get("/api/orders").json()["total"] == 0


@pytest.mark.parametrize(
    ("code", "why"),
    [("EXPIRED20", "CODE_EXPIRED"), ("SOLDOUT5", "CODE_EXHAUSTED"), ("NOSUCH", "CODE_UNKNOWN")],
)
def test_a_code_that_does_not_apply_is_refused_with_the_reason(shop, alice, code, why):
    product = shop.add_product(stock=5)
    answer = alice.order((product, 1), promoCode=code)
    assert problem(answer) == (422, "PROMO_INVALID")
    assert answer.json()["details"][0]["metadata"]["promoReason"] == why
    assert shop.stock_of(product) == 5


def test_a_declined_payment_cancels_the_order_and_gives_everything_back(shop, alice):
    product, code = shop.add_product(stock=5), shop.add_promotion(maxUses=1)
    order_id = alice.place((product, 2), promoCode=code, paymentToken="tok_declined")
    order = alice.await_status(order_id, "CANCELLED")
    assert order["cancelReason"] == "PAYMENT_DECLINED"
    eventually(lambda: alice.history(order_id)[-1] == "StockReleased")
    assert (shop.stock_of(product), shop.uses_of(code)) == (5, 0)


def test_cancelling_a_confirmed_order_returns_the_exact_amount_and_everything_else(shop, alice):
    product, code = shop.add_product(stock=5, price="9.99"), shop.add_promotion()
    order_id = alice.place((product, 3), promoCode=code)
    alice.await_status(order_id, "CONFIRMED")
    answer = alice.post(f"/api/orders/{order_id}/cancel", {"reason": "changed my mind"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"orderId": order_id, "status": "CANCELLED", "refundAmount": "26.97"},
    )
    assert alice.see(order_id)["paymentStatus"] == "REFUNDED"
    assert (shop.stock_of(product), shop.uses_of(code)) == (5, 0)
    again = alice.post(f"/api/orders/{order_id}/cancel", {"reason": "twice"})
    assert again.json() == answer.json()


def test_an_order_goes_to_the_door_one_state_after_the_other(shop, alice):
    order_id = alice.place((shop.add_product(), 1))
    alice.await_status(order_id, "CONFIRMED")
    path = f"/api/orders/{order_id}/status"
    assert problem(shop.admin.post(path, {"status": "DELIVERED"})) == (409, "WRONG_TRANSITION")
    assert shop.admin.post(path, {"status": "PROCESSING"}).json()["status"] == "PROCESSING"
    shipped = shop.admin.post(path, {"status": "SHIPPED", "trackingNumber": "LA123"}).json()
    assert (shipped["status"], shipped["shipping"]["trackingNumber"]) == ("SHIPPED", "LA123")
    late = alice.post(f"/api/orders/{order_id}/cancel", {"reason": "too late"})
    assert problem(late) == (409, "ORDER_NOT_CANCELLABLE")
    assert shop.admin.post(path, {"status": "DELIVERED"}).json()["status"] == "DELIVERED"
    assert alice.history(order_id) == [
        "OrderPlaced",
        "PaymentStarted",
        "PaymentCaptured",
        "OrderConfirmed",
        "OrderPreparationStarted",
        "OrderShipped",
        "OrderDelivered",
    ]


def test_orders_are_listed_newest_first_and_in_pages(shop, alice):
    product = shop.add_product()
    ids = [alice.place((product, 1)) for _ in range(3)]
    first = alice.get("/api/orders?limit=2").json()
    second = alice.get(f"/api/orders?userId={alice.user_id}&limit=2&page=2").json()
    listed = [order["orderId"] for page in (first, second) for order in page["orders"]]
    assert listed == ids[::-1]
    assert (first["total"], first["page"], second["page"]) == (3, 1, 2)


def test_fifty_lines_are_an_order(shop, alice):
    products = [shop.add_product() for _ in range(50)]
    order_id = alice.place(*((product, 1) for product in products))
    assert alice.await_status(order_id, "CONFIRMED")["totalAmount"] == "500.00"
