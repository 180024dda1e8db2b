"""What a client gets for a cart, and what is left behind when it is nothing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.orders import domain
from services.orders.checkout import Cart, Checkout
from services.orders.tests.fakes import (
    ADDRESS,
    NOW,
    FakeCatalog,
    FakePromotions,
    InMemoryOrdersRepository,
)

CART = Cart(lines=[("sku_001", 2)], promo_code="WELCOME10", address=ADDRESS, payment_token="tok_ok")


class StillSaga:
    """Keeps orders and does not drive them."""

    def __init__(self, repository):
        self._repository = repository

    def begin(self, order_id, placed, *, payment_token):
        return self._repository.place(order_id, placed, payment_token=payment_token, due_at=NOW)


@pytest.fixture
def repository():
    return InMemoryOrdersRepository()


@pytest.fixture
def catalog():
    return FakeCatalog()


@pytest.fixture
def checkout(repository, catalog):
    return Checkout(
        repository=repository,
        catalog=catalog,
        promotions=FakePromotions(),
        saga=StillSaga(repository),
        hold_seconds=900,
        clock=lambda: NOW,
    )


def test_a_cart_becomes_an_order_at_todays_prices(checkout):
    order = checkout.place("alice", CART, "")
    assert order.status == "PENDING"
    assert (order.total, order.placed.discount) == (Decimal("25.80"), Decimal("2.58"))


def test_lines_of_one_product_are_added_up(checkout):
    cart = replace(CART, lines=[("sku_001", 2), ("sku_001", 3)])
    assert [item.quantity for item in checkout.place("alice", cart, "").placed.items] == [5]


def test_unknown_products_are_named(checkout, catalog):
    with pytest.raises(domain.UnknownProductsError) as caught:
        checkout.place("alice", replace(CART, lines=[("nothing", 1), ("sku_001", 1)]), "")
    assert caught.value.metadata["productIds"] == "nothing"
    assert "reserve" not in catalog.calls


def test_short_products_are_named_with_what_is_on_sale(checkout, catalog):
    catalog.on_sale = 1
    with pytest.raises(domain.OutOfStockError) as caught:
        checkout.place("alice", CART, "")
    assert caught.value.metadata == {"productIds": "sku_001", "availableQuantities": "1"}
    assert "reserve" not in catalog.calls


def test_a_code_that_does_not_apply_holds_nothing(checkout, catalog):
    with pytest.raises(domain.PromoInvalidError) as caught:
        checkout.place("alice", replace(CART, promo_code="EXPIRED20"), "")
    assert caught.value.metadata["promoReason"] == "CODE_UNKNOWN"
    assert "reserve" not in catalog.calls


def test_without_a_key_each_request_is_an_order(checkout):
    assert checkout.place("alice", CART, "").order_id != checkout.place("alice", CART, "").order_id


def test_with_a_key_a_repeat_gets_the_first_order(checkout, catalog):
    first = checkout.place("alice", CART, "key")
    assert checkout.place("alice", CART, "key") == first
    assert catalog.calls.count("reserve") == 1


def test_a_repeat_that_was_overtaken_gets_the_first_order(checkout, repository):
    first = checkout.place("alice", CART, "key")
    answers = iter([None, first])
    repository.find = lambda _order_id: next(answers)
    assert checkout.place("alice", CART, "key").order_id == first.order_id


def test_a_key_is_not_for_another_cart(checkout):
    checkout.place("alice", CART, "key")
    with pytest.raises(domain.IdempotencyKeyReusedError):
        checkout.place("alice", replace(CART, lines=[("sku_001", 3)]), "key")


def test_the_same_key_of_another_client_is_another_order(checkout):
    mine, yours = checkout.place("alice", CART, "key"), checkout.place("bob", CART, "key")
    assert mine.order_id != yours.order_id
