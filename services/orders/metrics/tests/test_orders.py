"""Orders and money are counted when something happens to an order, and once."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.orders.domain import Order
from services.orders.metrics.orders import count_change
from services.orders.states import OrderStatus, PaymentStatus
from services.orders.tests.fakes import NOW, build_placed
from tests.support.metrics import adds


@pytest.fixture
def placed() -> Order:
    """Return an order that was just placed, of 23.22 EUR."""
    return Order(order_id="o", sequence=1, placed=build_placed(), created_at=NOW, updated_at=NOW)


def test_an_order_that_is_placed_is_pending(placed):
    with adds(1, "mamie_orders_total", status="PENDING"):
        count_change(None, placed)


def test_a_confirmed_order_is_revenue_once(placed):
    confirmed = replace(placed, status=OrderStatus.CONFIRMED)
    with (
        adds(1, "mamie_orders_total", status="CONFIRMED"),
        adds(23.22, "mamie_order_revenue_total", currency="EUR"),
    ):
        count_change(placed, confirmed)
        count_change(confirmed, replace(confirmed, sequence=2))


def test_a_refund_is_counted_when_it_is_made(placed):
    refunding = replace(
        placed, status=OrderStatus.CANCELLED, payment_status=PaymentStatus.REFUNDING
    )
    refunded = replace(refunding, payment_status=PaymentStatus.REFUNDED, refunded=Decimal("23.22"))
    with adds(23.22, "mamie_order_refunds_total", currency="EUR"):
        count_change(placed, refunding)
        count_change(refunding, refunded)
        count_change(refunded, replace(refunded, stock_released=True))


def test_a_declined_order_is_neither_revenue_nor_refund(placed):
    cancelled = replace(placed, status=OrderStatus.CANCELLED, payment_status=PaymentStatus.DECLINED)
    with (
        adds(0, "mamie_order_revenue_total", currency="EUR"),
        adds(0, "mamie_order_refunds_total", currency="EUR"),
    ):
        count_change(placed, cancelled)
