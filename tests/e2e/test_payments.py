"""One client's trouble with paying is nobody else's."""

import pytest

pytestmark = pytest.mark.e2e

STUCK = 12
"""Enough for each instance of orders to fail more than three times in a row."""
SECONDS = 3
"""How long an order takes at most, many times what it usually does."""


@pytest.fixture
def product(shop):
    return shop.add_product()


@pytest.fixture
def stuck(alice, product):
    """Yield orders with a card that the payment provider cannot handle; cancelled afterwards."""
    orders = [alice.place((product, 1), paymentToken="tok_error") for _ in range(STUCK)]
    yield orders
    for order_id in orders:
        assert alice.post(f"/api/orders/{order_id}/cancel", {"reason": "test"}).status_code == 200


def test_a_card_that_the_provider_cannot_handle_keeps_nobody_else_waiting(
    shop, alice, product, stuck
):
    for order_id in stuck:
        alice.await_status(order_id, "PAYMENT_PROCESSING")
    bob = shop.register()
    for _ in range(10):
        bob.await_status(bob.place((product, 1)), "CONFIRMED", seconds=SECONDS)
    assert {alice.see(order_id)["status"] for order_id in stuck} == {"PAYMENT_PROCESSING"}
