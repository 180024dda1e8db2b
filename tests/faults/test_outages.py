"""Orders while a consumer of their events, its store or the bus is down."""

import pytest

from tests.faults.checkers import (
    check,
    one_mail_per_order,
    one_purchase_per_order,
    one_summary_per_order,
    orders_are,
)
from tests.faults.faults import down, frozen
from tests.support.delivered_mail import mails_to, text_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ASYNCHRONOUS = ("recommendations", "neo4j", "notifications", "rabbitmq")
"""Every part that only consumers of integration events need."""
ORDERS = 5
CATCH_UP_SECONDS = 60


@pytest.fixture
def texts_to(stack):
    """Return a function that reads the mails to an address."""
    return lambda address: [text_of(mail) for mail in mails_to(stack, address)]


def check_effects(orders, graph, texts_to):
    """Check that each order has every effect, and has it once."""
    placed = orders.acknowledged
    check(one_summary_per_order(placed), seconds=CATCH_UP_SECONDS)
    check(one_purchase_per_order(graph, placed), seconds=CATCH_UP_SECONDS)
    # The last order's events were published last: duplicates of earlier ones were processed.
    check(one_mail_per_order(texts_to, placed), one_summary_per_order(placed))


@pytest.mark.parametrize("parts", [*((name,) for name in ASYNCHRONOUS), ASYNCHRONOUS], ids="+".join)
def test_orders_are_confirmed_during_an_outage_and_consumers_catch_up(
    shop, stack, orders, graph, texts_to, parts
):
    customers = [shop.register() for _ in range(ORDERS)]
    with down(stack, *parts):
        for customer in customers:
            orders.place(customer)
            check(orders_are("CONFIRMED", orders.acknowledged), seconds=30)
    last = shop.register()
    orders.place(last)
    check_effects(orders, graph, texts_to)
    eventually(lambda: last.get(f"/api/recommendations/{last.user_id}").status_code == 200)


def test_orders_are_confirmed_while_consumers_are_frozen_and_consumers_catch_up(
    shop, stack, orders, graph, texts_to
):
    customers = [shop.register() for _ in range(ORDERS)]
    with frozen(stack, "notifications", "recommendations"):
        for customer in customers:
            orders.place(customer)
        check(orders_are("CONFIRMED", orders.acknowledged), seconds=30)
    check_effects(orders, graph, texts_to)
