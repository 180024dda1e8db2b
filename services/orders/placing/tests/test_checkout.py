"""Placing orders, and rejecting carts without any effect."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.orders import errors
from services.orders.placing.checkout import Cart
from services.orders.ports import LEASE_DURATION
from services.orders.tests.fakes import (
    ADDRESS,
    HOLD_ENDS,
    KIBBLE,
)

CART = Cart(lines=[("sku_001", 2)], promo_code="WELCOME10", address=ADDRESS, payment_token="tok_ok")


def test_a_placed_order_is_stored_with_a_lease_and_submitted(checkout, orders, orchestrator, clock):
    order = checkout.place("alice", CART, "")
    assert orchestrator.submitted == [order] == [orders.load(order.order_id)]
    assert orders.sagas.claim_due() is None
    clock.move(seconds=LEASE_DURATION.total_seconds())
    assert orders.sagas.claim_due() == order.order_id


def test_a_cart_becomes_an_order_at_current_prices(checkout):
    order = checkout.place("alice", CART, "")
    assert order.status == "PENDING"
    assert (order.total_amount, order.placed.discount) == (Decimal("25.80"), Decimal("2.58"))


def test_lines_of_one_product_are_added_up(checkout):
    cart = replace(CART, lines=[("sku_001", 2), ("sku_001", 3)])
    assert [item.quantity for item in checkout.place("alice", cart, "").placed.items] == [5]


def test_unknown_products_are_named(checkout, catalog):
    with pytest.raises(errors.UnknownProductsError) as caught:
        checkout.place("alice", replace(CART, lines=[("unknown", 1), ("sku_001", 1)]), "")
    assert caught.value.metadata["productIds"] == "unknown"
    assert "reserve" not in catalog.calls


def test_out_of_stock_products_are_named_with_the_available_quantities(checkout, catalog):
    catalog.on_sale = 1
    with pytest.raises(errors.OutOfStockError) as caught:
        checkout.place("alice", CART, "")
    assert caught.value.metadata == {"productIds": "sku_001", "availableQuantities": "1"}
    assert not catalog.reserved


def test_a_product_that_is_named_by_id_and_by_sku_is_one_item(checkout, catalog):
    cart = replace(CART, lines=[(KIBBLE.product_id, 2), ("sku_001", 3)])
    assert [item.quantity for item in checkout.place("alice", cart, "").placed.items] == [5]
    catalog.on_sale = 4
    with pytest.raises(errors.OutOfStockError) as caught:
        checkout.place("alice", cart, "")
    assert caught.value.metadata["productIds"] == KIBBLE.product_id


def test_an_order_above_what_a_payment_can_be_is_rejected_and_reserves_nothing(checkout, catalog):
    with pytest.raises(errors.OrderTooLargeError) as caught:
        checkout.place("alice", replace(CART, lines=[("sku_001", 10_000_000)]), "")
    assert caught.value.metadata == {"maximumAmount": "99999999.99"}
    assert "reserve" not in catalog.calls


def test_an_order_ends_with_its_reservation(checkout):
    assert checkout.place("alice", CART, "").placed.hold_expires_at == HOLD_ENDS


def test_an_invalid_code_reserves_nothing(checkout, catalog):
    with pytest.raises(errors.PromoInvalidError) as caught:
        checkout.place("alice", replace(CART, promo_code="EXPIRED20"), "")
    assert caught.value.metadata["promoReason"] == "CODE_UNKNOWN"
    assert "reserve" not in catalog.calls


def test_without_a_key_each_request_places_an_order(checkout):
    assert checkout.place("alice", CART, "").order_id != checkout.place("alice", CART, "").order_id


def test_with_a_key_a_repeat_gets_the_first_order(checkout, catalog, orchestrator):
    first = checkout.place("alice", CART, "key")
    assert checkout.place("alice", CART, "key") == first
    assert catalog.calls.count("reserve") == 1
    assert orchestrator.submitted == [first]


def test_a_key_that_was_used_for_another_cart_is_rejected(checkout):
    checkout.place("alice", CART, "key")
    with pytest.raises(errors.IdempotencyKeyReusedError):
        checkout.place("alice", replace(CART, lines=[("sku_001", 3)]), "key")


def test_the_same_key_of_another_customer_places_another_order(checkout):
    alices, bobs = checkout.place("alice", CART, "key"), checkout.place("bob", CART, "key")
    assert alices.order_id != bobs.order_id
