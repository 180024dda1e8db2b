"""The trace of an order whose instance dies, and a shop whose collector does."""

import pytest

from tests.faults.faults import down
from tests.support.shop import ADDRESS
from tests.support.traces import await_spans, parts_of, sampled_traceparent, trace_id_of

pytestmark = [pytest.mark.faults, pytest.mark.local]


def order_slowly(shop, customer, traceparent):
    body = {
        "items": [{"productId": shop.add_product()["productId"], "quantity": 1}],
        "promoCode": shop.add_promotion(),
        "paymentToken": "tok_slow",
        "shippingAddress": ADDRESS,
    }
    return customer.post("/api/orders", body, traceparent=traceparent).json()["orderId"]


def test_an_order_that_another_instance_takes_over_is_still_one_trace(stack, shop, customer):
    traceparent = sampled_traceparent()
    trace_id = trace_id_of(traceparent)
    order_id = order_slowly(shop, customer, traceparent)
    begun = await_spans(stack, trace_id, lambda spans: ("orders", "CreateOrder") in parts_of(spans))
    (first,) = {
        span.instance for span in begun if span.name.endswith("/CreateOrder") and span.instance
    }
    with down(stack, first):
        customer.await_status(order_id, "CONFIRMED", seconds=15)
    parts = {
        *{("envoy", "POST"), ("orders", "saga COMMIT_STOCK"), ("catalog", "CommitStock")},
        *{("payments", "ProcessPayment"), ("promotions", "RedeemPromo")},
        *{("notifications", "send order_summary"), ("recommendations", "neo4j")},
    }
    spans = await_spans(stack, trace_id, lambda spans: parts_of(spans) >= parts)
    committed = {span.instance for span in spans if span.name == "saga COMMIT_STOCK"}
    assert committed
    assert first not in committed


def test_orders_are_confirmed_while_the_collector_is_down(stack, shop, customer):
    with down(stack, "traces"):
        for _ in range(3):
            order_id = order_slowly(shop, customer, sampled_traceparent())
        customer.await_status(order_id, "CONFIRMED", seconds=15)
    traceparent = sampled_traceparent()
    later = order_slowly(shop, customer, traceparent)
    customer.await_status(later, "CONFIRMED", seconds=15)
    await_spans(
        stack,
        trace_id_of(traceparent),
        lambda spans: ("orders", "saga COMMIT_STOCK") in parts_of(spans),
    )
