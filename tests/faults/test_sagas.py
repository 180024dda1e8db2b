"""Orders while the instances that execute their sagas are killed, or payments are down."""

import time
from functools import partial

import pytest

from services.orders.domain import Step
from tests.faults.checkers import (
    check,
    one_payment_per_order,
    orders_are,
    orders_equal_acknowledgements,
    stock_is_conserved,
)
from tests.faults.dying_instances import await_death, dying_at
from tests.faults.faults import down, kill
from tests.faults.workloads import Orders
from tests.support.stores import payments_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

TAKEOVER_SECONDS = 5
FORWARD = ["OrderPlaced", "PromoRedeemed", "PaymentStarted", "PaymentCaptured", "OrderConfirmed"]
COMPENSATION = [
    *FORWARD[:3],
    "PaymentDeclined",
    "OrderCancelled",
    "PaymentSettled",
    "PromoReleased",
    "StockReleased",
]
FORWARD_STEPS = (Step.REDEEM_PROMO, Step.START_PAYMENT, Step.CAPTURE_PAYMENT, Step.COMMIT_STOCK)
COMPENSATION_STEPS = (Step.REFUND_PAYMENT, Step.RELEASE_PROMO, Step.RELEASE_STOCK)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", FORWARD_STEPS)
def test_another_instance_confirms_an_order_whose_instance_died_at_a_step(
    shop, stack, customer, step, when, say
):
    product, code = shop.add_product(stock=10), shop.add_promotion()
    with dying_at(stack, step, when) as instance:
        order_id = instance.place(customer, product, code, "tok_ok")
        await_death(instance)
        killed = time.monotonic()
        customer.await_status(order_id, "CONFIRMED", seconds=TAKEOVER_SECONDS)
        say(f"confirmed {time.monotonic() - killed:.1f} s after the kill")
    assert customer.history(order_id) == FORWARD
    assert payments_of(stack, order_id) == [("CAPTURED", "18.00")]
    assert shop.uses_of(code) == 1
    check(stock_is_conserved(shop, product, initial=10, sold=2))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", COMPENSATION_STEPS)
def test_another_instance_compensates_an_order_whose_instance_died_at_a_step(
    shop, stack, customer, step, when
):
    product, code = shop.add_product(stock=10), shop.add_promotion()
    with dying_at(stack, step, when) as instance:
        order_id = instance.place(customer, product, code, "tok_declined")
        await_death(instance)
        eventually(lambda: customer.history(order_id) == COMPENSATION, seconds=TAKEOVER_SECONDS)
    assert customer.get_order(order_id)["status"] == "CANCELLED"
    assert [status for status, _ in payments_of(stack, order_id)] == ["DECLINED"]
    assert shop.uses_of(code) == 0
    check(stock_is_conserved(shop, product, initial=10, sold=0))


def test_killing_all_instances_of_orders_at_once_loses_no_order(shop, stack, customer):
    orders = Orders(shop.add_product(stock=50))
    for _ in range(5):
        orders.place(customer, paymentToken="tok_slow")
    kill(stack, "orders")
    check(orders_are("CONFIRMED", orders.acknowledged), seconds=30)
    order_ids = [order.order_id for order in orders.acknowledged]
    check(
        orders_equal_acknowledgements(orders.acknowledged),
        one_payment_per_order(partial(payments_of, stack), order_ids),
        stock_is_conserved(shop, orders.product, initial=50, sold=orders.ordered_units),
    )


def test_an_order_waits_for_payments_that_are_down_and_is_confirmed_when_they_are_up(
    stack, customer, orders
):
    with down(stack, "payments"):
        order_id = orders.place(customer).order_id
        customer.await_status(order_id, "PAYMENT_PROCESSING")
    customer.await_status(order_id, "CONFIRMED", seconds=15)
    assert payments_of(stack, order_id) == [("CAPTURED", "10.00")]
