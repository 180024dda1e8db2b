"""Requests that are repeated with their Idempotency-Key: every answer for a key is the same."""

from dataclasses import replace

import pytest

from services.common.errors import StoreUnavailableError
from services.orders import errors
from services.orders.placing.tests.test_checkout import CART
from services.orders.ports import ServiceUnavailableError


class InstanceDied(BaseException):
    """Stands for the end of a process: nothing that follows is executed."""


def die(*_args, **_kwargs):
    raise InstanceDied


@pytest.fixture
def last_unit(catalog, promotions):
    """Leave as much on sale as one cart wants, and one use of the code."""
    catalog.on_sale, promotions.max_uses = 2, 1


def after(method):
    """Return a method that dies when it has done its work."""

    def call(*args, **kwargs):
        method(*args, **kwargs)
        die()

    return call


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["get_item", "get_discount", "reserve", "place", "submit"])
@pytest.mark.usefixtures("last_unit")
def test_a_repeat_after_a_death_at_any_step_gets_an_order(
    checkout,
    orders,
    catalog,
    promotions,
    orchestrator,
    monkeypatch,
    step,
    when,
):
    parts = (catalog, promotions, orders, orchestrator)
    (part,) = [part for part in parts if hasattr(part, step)]
    with monkeypatch.context() as patch:
        patch.setattr(part, step, die if when == "before" else after(getattr(part, step)))
        with pytest.raises(InstanceDied):
            checkout.place("alice", CART, "key")
    orders.attempts.expire()
    first = checkout.place("alice", CART, "key")
    promotions.redeem(first.order_id, "WELCOME10", "alice")
    assert checkout.place("alice", CART, "key") == first
    assert (catalog.on_sale, catalog.reserved) == (0, {first.order_id: 2})


def test_a_repeat_waits_for_the_order_that_the_first_request_places(checkout, orders, waits):
    first = checkout.place("alice", CART, "key")
    found = iter([None, None, first])
    orders.attempts.begin(first.order_id, CART.fingerprint)
    orders.find = lambda _order_id: next(found)
    assert checkout.place("alice", CART, "key") == first
    assert len(waits) == 2


def test_a_repeat_waits_for_a_second_at_most_and_may_be_sent_again(checkout, orders, waits):
    order_id = checkout.place("alice", CART, "key").order_id
    orders.attempts.begin(order_id, CART.fingerprint)
    orders.find = lambda _order_id: None
    with pytest.raises(errors.RequestInProgressError) as caught:
        checkout.place("alice", CART, "key")
    assert caught.value.metadata == {"retryAfterSeconds": "1"}
    assert sum(waits) == pytest.approx(1)


@pytest.mark.usefixtures("last_unit")
def test_the_own_use_of_a_code_does_not_count_against_a_repeat(
    checkout,
    orders,
    promotions,
):
    first = checkout.place("alice", CART, "key")
    promotions.redeem(first.order_id, "WELCOME10", "alice")
    answers = iter([None, first])
    orders.find = lambda _order_id: next(answers)
    assert checkout.place("alice", CART, "key") == first


def test_a_request_whose_attempt_was_taken_over_places_nothing(
    checkout,
    orders,
    catalog,
    monkeypatch,
):
    def freeze(*_args):
        """Be frozen for so long that a repeat is rejected meanwhile."""
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "get_item", thawed)
            orders.attempts.expire()
            catalog.on_sale = 0
            with pytest.raises(errors.OutOfStockError):
                checkout.place("alice", CART, "key")
            catalog.on_sale = 10
        return thawed(*_args)

    thawed = catalog.get_item
    monkeypatch.setattr(catalog, "get_item", freeze)
    with pytest.raises(errors.RequestInProgressError):
        checkout.place("alice", CART, "key")
    monkeypatch.undo()
    with pytest.raises(errors.OutOfStockError):
        checkout.place("alice", CART, "key")


@pytest.mark.usefixtures("last_unit")
def test_a_rejected_cart_gets_the_same_answer_again_and_another_cart_is_judged(checkout, catalog):
    catalog.on_sale = 1
    with pytest.raises(errors.OutOfStockError):
        checkout.place("alice", CART, "key")
    catalog.on_sale = 10
    with pytest.raises(errors.OutOfStockError):
        checkout.place("alice", CART, "key")
    smaller = replace(CART, lines=[("sku_001", 1)])
    assert checkout.place("alice", smaller, "key").placed.items[0].quantity == 1


def test_an_order_that_is_there_is_answered_instead_of_a_rejection(
    checkout,
    orders,
    catalog,
    monkeypatch,
):
    first = checkout.place("alice", CART, "key")
    answers = iter([None, first])
    monkeypatch.setattr(orders, "find", lambda _order_id: next(answers))
    catalog.on_sale, catalog.reserved = 0, {}
    assert checkout.place("alice", CART, "key") == first
    monkeypatch.undo()
    assert checkout.place("alice", CART, "key") == first


def test_a_rejection_that_cannot_be_recorded_is_not_answered(
    checkout, orders, catalog, monkeypatch
):
    def fail(*_args):
        raise StoreUnavailableError

    catalog.on_sale = 0
    monkeypatch.setattr(orders.attempts, "refuse", fail)
    with pytest.raises(StoreUnavailableError):
        checkout.place("alice", CART, "key")


def test_a_repeat_after_an_unavailable_upstream_need_not_wait(checkout, catalog, waits):
    catalog.unavailable.add("reserve")
    with pytest.raises(ServiceUnavailableError):
        checkout.place("alice", CART, "key")
    catalog.unavailable.clear()
    assert checkout.place("alice", CART, "key").status == "PENDING"
    assert not waits
