"""Payments that fail for one customer do not delay payments of another."""

import pytest

pytestmark = pytest.mark.e2e

FAILING = 12
"""Enough for each instance of orders to fail more than three times in a row."""
MAX_SECONDS = 3
"""The longest that an order takes, many times its usual time."""


@pytest.fixture
def product(shop):
    return shop.add_product()


@pytest.fixture
def failing(customer, product):
    """Yield orders whose payments the provider fails to answer; they are cancelled afterwards."""
    orders = [customer.place((product, 1), paymentToken="tok_error") for _ in range(FAILING)]
    yield orders
    for order_id in orders:
        assert customer.cancel(order_id).status_code == 200


def test_provider_errors_of_one_customer_do_not_delay_another(
    customer, other_customer, product, failing
):
    for order_id in failing:
        customer.await_status(order_id, "PAYMENT_PROCESSING")
    for _ in range(10):
        order_id = other_customer.place((product, 1))
        other_customer.await_status(order_id, "CONFIRMED", seconds=MAX_SECONDS)
    assert {customer.get_order(order_id)["status"] for order_id in failing} == {
        "PAYMENT_PROCESSING"
    }
