"""Instances whose clocks differ by most of an hour, or jump: leases, locks and the last word.

The wrong clock is that of an instance beside the stack's own (skewed_instance.py).
"""

import uuid
from contextlib import contextmanager
from functools import partial

import grpc
import pytest
import sqlalchemy as sa
from mamie_rosa.users.v1 import users_pb2, users_pb2_grpc

from tests.faults.checkers import (
    check,
    nothing_waits,
    one_payment_per_order,
    orders_are,
    orders_equal_acknowledgements,
    stock_is_conserved,
)
from tests.faults.extra_instances import extra_instance, identity_of
from tests.faults.faults import down
from tests.faults.workloads import Orders, PlacedOrder
from tests.support.outboxes import count_waiting
from tests.support.stores import payments_of
from tests.support.waiting import eventually, remains

pytestmark = [pytest.mark.faults, pytest.mark.local]

AHEAD, BEHIND, JUMPING = "3000", "-3000", "jumping"
TAKEOVER_SECONDS = 15
SWEEP_SECONDS = 8
"""Longer than the intervals of the catalog's sweeper and of the saga."""
FORWARD = ["OrderPlaced", "PaymentStarted", "PaymentCaptured", "OrderConfirmed"]


@contextmanager
def skewed(stack, service, clock):
    """Yield an instance of a service whose clock is wrong."""
    module = f"services.{service}"
    arguments = ("tests.faults.skewed_instance", module, clock)
    with extra_instance(stack, service, *arguments) as instance:
        yield instance


@pytest.mark.parametrize("clock", [AHEAD, JUMPING])
def test_what_an_instance_with_a_wrong_clock_held_is_taken_over_when_it_dies(
    shop, stack, customer, clock
):
    product = shop.add_product(stock=100)
    placed = []
    with skewed(stack, "orders", clock) as instance:
        for token in ["tok_ok"] * 3 + ["tok_slow"] * 3:
            order_id = instance.place(customer, product, "", token)
            placed.append(PlacedOrder(customer, order_id, 2))
        instance.kill()
        check(
            orders_are("CONFIRMED", placed),
            nothing_waits(partial(count_waiting, stack)),
            seconds=TAKEOVER_SECONDS,
        )
    check(
        one_payment_per_order(partial(payments_of, stack), [each.order_id for each in placed]),
        stock_is_conserved(shop, product, initial=100, sold=2 * len(placed)),
    )


@pytest.mark.parametrize("clock", [AHEAD, BEHIND, JUMPING])
def test_an_instance_of_orders_with_a_wrong_clock_takes_no_step_that_another_is_taking(
    shop, stack, customer, clock
):
    orders = Orders(shop.add_product(stock=100))
    with skewed(stack, "orders", clock):
        for _ in range(6):
            orders.place(customer, paymentToken="tok_slow")
        check(orders_are("CONFIRMED", orders.acknowledged), seconds=60)
    order_ids = [order.order_id for order in orders.acknowledged]
    check(
        orders_equal_acknowledgements(orders.acknowledged),
        one_payment_per_order(partial(payments_of, stack), order_ids),
    )
    assert [customer.history(each) for each in order_ids] == [FORWARD] * len(order_ids)


@pytest.mark.parametrize("service", ["orders", "catalog"])
def test_an_order_keeps_its_stock_while_an_instance_is_ahead_of_its_time(
    shop, stack, customer, service
):
    product = shop.add_product(stock=2)
    with down(stack, "payments"), skewed(stack, service, AHEAD):
        order_id = customer.place((product, 2))
        customer.await_status(order_id, "PAYMENT_PROCESSING")
        remains(partial(is_reserved, shop, customer, product, order_id), seconds=SWEEP_SECONDS)
    customer.await_status(order_id, "CONFIRMED", seconds=30)
    check(stock_is_conserved(shop, product, initial=2, sold=2))


def is_reserved(shop, customer, product, order_id):
    status = customer.get_order(order_id)["status"]
    return (status, shop.stock_of(product)) == ("PAYMENT_PROCESSING", 0)


@pytest.mark.parametrize("clock", [AHEAD, JUMPING])
def test_the_last_word_of_a_customer_holds_whichever_instance_was_given_it(
    stack, customer, notifications_engine, clock
):
    with skewed(stack, "users", clock) as wrong:
        eventually(lambda: preference(notifications_engine, customer) is True)
        update(wrong.address, customer, f"Ahead {uuid.uuid4().hex[:8]}", accepts=True)
        update(stack.address("users-1"), customer, "Last", accepts=False)
        eventually(lambda: preference(notifications_engine, customer) is False)


def update(address, customer, first_name, *, accepts):
    """Change a profile at one instance of users, past the edge."""
    preferences = users_pb2.Preferences(notifications_enabled=accepts)
    request = users_pb2.UpdateUserRequest(
        id=customer.user_id, first_name=first_name, last_name="Martin", preferences=preferences
    )
    with grpc.insecure_channel(address) as channel:
        stub = users_pb2_grpc.UsersServiceStub(channel)
        stub.UpdateUser(request, timeout=5, metadata=identity_of(customer))


def preference(notifications_engine, customer):
    """Return whether notifications believes that a customer accepts mails; None if unknown."""
    query = sa.text("SELECT notifications_enabled FROM clients WHERE user_id = :id")
    with notifications_engine.connect() as connection:
        return connection.execute(query, {"id": customer.user_id}).scalar_one_or_none()
