"""Whether a customer has bought a product, as the internal servicer answers."""

import pytest
from mamie_rosa.orders.internal.v1 import orders_pb2

from services.common.rpc.testing import InMemoryServer
from services.orders.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPreparationStarted,
    OrderShipped,
)
from services.orders.servicer import InternalOrdersServicer
from services.orders.tests.fakes import KIBBLE, InMemoryOrdersRepository, build_placed

SERVICE = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"]


@pytest.fixture
def orders():
    return InMemoryOrdersRepository()


def place(orders, order_id="o"):
    return orders.place(order_id, build_placed(), payment_token="t")


def has_bought(orders, user_id="alice", product_id=KIBBLE.product_id):
    server = InMemoryServer(SERVICE, InternalOrdersServicer(orders=orders))
    request = orders_pb2.VerifyPurchaseRequest(user_id=user_id, product_id=product_id)
    return server.call("VerifyPurchase", request).response.has_bought


def test_a_product_is_bought_once_its_order_is_confirmed(orders):
    order = place(orders)
    assert not has_bought(orders)
    for event in (
        OrderConfirmed(),
        OrderPreparationStarted(),
        OrderShipped(tracking_number="TRACK"),
        OrderDelivered(),
    ):
        order = orders.append(order, [event])
        assert has_bought(orders)


def test_a_customer_has_not_bought_the_products_of_other_orders(orders):
    orders.append(place(orders), [OrderConfirmed()])
    assert not has_bought(orders, user_id="bob")
    assert not has_bought(orders, product_id="other")


def test_a_cancelled_product_is_not_bought_until_it_is_ordered_again(orders):
    cancelled = [OrderConfirmed(), OrderCancelled(reason="why")]
    orders.append(place(orders), cancelled)
    assert not has_bought(orders)
    orders.append(place(orders, "second"), [OrderConfirmed()])
    assert has_bought(orders)
