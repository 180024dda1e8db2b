"""Decisions about orders whose saga may be running."""

import pytest

from services.orders import domain
from services.orders.decisions import MAX_ATTEMPTS, Decisions
from services.orders.errors import OrderChangedError
from services.orders.events import PromoRedeemed
from services.orders.states import OrderStatus
from services.orders.tests.fakes import (
    InMemoryOrdersRepository,
    RecordingOrchestrator,
    build_placed,
)


@pytest.fixture
def orders():
    return InMemoryOrdersRepository()


@pytest.fixture
def decisions(orders):
    return Decisions(orders=orders, orchestrator=RecordingOrchestrator())


@pytest.fixture
def order(orders):
    return orders.place("o", build_placed(), payment_token="t")


def cancel(order):
    return domain.cancel(order, "changed my mind")


def test_a_decision_is_appended_without_loading_the_order(decisions, orders, order):
    cancelled = decisions.apply(order, cancel)
    assert orders.loads == []
    assert cancelled == orders.load("o")
    assert cancelled.status is OrderStatus.CANCELLED


def test_a_decision_without_events_changes_nothing(decisions, order):
    assert decisions.apply(order, lambda _order: []) is order


def test_a_decision_about_an_outdated_order_is_made_again_after_one_load(decisions, orders, order):
    orders.append(order, [PromoRedeemed()])
    seen = []

    def decide(current):
        seen.append(current.sequence)
        return cancel(current)

    assert decisions.apply(order, decide).status is OrderStatus.CANCELLED
    assert seen == [1, 2]
    assert orders.loads == ["o"]


def test_a_decision_that_always_conflicts_fails(decisions, orders, order):
    attempts = []

    def decide(current):
        attempts.append(current.sequence)
        orders.append(current, [PromoRedeemed()])
        return cancel(current)

    with pytest.raises(OrderChangedError):
        decisions.apply(order, decide)
    assert len(attempts) == MAX_ATTEMPTS
