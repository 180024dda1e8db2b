"""One trace from the edge to the consumers, and the command that shows it."""

import re
import subprocess
import sys

import pytest

from tests.support.commands import run_script
from tests.support.shop import ADDRESS
from tests.support.traces import (
    await_spans,
    parts_of,
    sampled_traceparent,
    trace_id_of,
    unsampled_traceparent,
)

pytestmark = [pytest.mark.e2e, pytest.mark.local]

PARTS = {
    ("envoy", "POST"),
    ("orders", "CreateOrder"),
    ("orders", "mongodb"),
    ("orders", "saga REDEEM_PROMO"),
    ("orders", "saga CAPTURE_PAYMENT"),
    ("orders", "saga COMMIT_STOCK"),
    ("orders", "send OrderCreated"),
    ("catalog", "VerifyStock"),
    ("catalog", "ReserveStock"),
    ("catalog", "CommitStock"),
    ("catalog", "postgresql"),
    ("promotions", "ValidatePromo"),
    ("promotions", "RedeemPromo"),
    ("promotions", "redis"),
    ("payments", "ProcessPayment"),
    ("payments", "postgresql"),
    ("notifications", "process OrderCreated"),
    ("notifications", "postgresql"),
    ("notifications", "send order_summary"),
    ("recommendations", "process OrderCreated"),
    ("recommendations", "neo4j"),
}


def order_with_promo(shop, customer, traceparent):
    body = {
        "items": [{"productId": shop.add_product()["productId"], "quantity": 1}],
        "promoCode": shop.add_promotion(),
        "shippingAddress": ADDRESS,
    }
    answer = customer.post("/api/orders", body, traceparent=traceparent)
    assert answer.status_code == 201
    return answer.json()["orderId"], answer.headers["x-request-id"]


def test_an_order_with_a_promotion_code_is_one_trace_through_all_its_parts(stack, shop, customer):
    traceparent = sampled_traceparent()
    order_id, request_id = order_with_promo(shop, customer, traceparent)
    trace_id = trace_id_of(traceparent)
    spans = await_spans(stack, trace_id, lambda spans: parts_of(spans) >= PARTS)
    ids = {span.span_id for span in spans}
    assert {span.parent_id for span in spans} - ids == {traceparent.split("-")[2]}
    assert not [span for span in spans if span.error]
    for name in (order_id, request_id, trace_id):
        status, shown = run_script(stack, "trace", name)
        assert status == 0
        assert re.search(r"orders-\d +  *saga CAPTURE_PAYMENT", shown)
    assert order_id in run_script(stack, "logs", "--trace", trace_id)[1]


def test_the_benchmark_reports_what_traces_cost(stack):
    command = [sys.executable, "-m", "scripts.benchmarks", "--quick", "--traces"]
    ran = subprocess.run(
        [*command, "--data", str(stack.data)], capture_output=True, text=True, check=True
    )
    for name in ("without traces", "1 % of the calls", "all calls, the collector is down"):
        assert re.search(rf"^\| {name} \| \d+\.\d+ \|", ran.stdout, re.MULTILINE), name


def test_an_unknown_id_has_no_trace(stack, shop):
    status, shown = run_script(stack, "trace", "no-such-order")
    assert (status, shown.count("\n")) == (1, 1)


@pytest.mark.parametrize("is_admin", [True, False])
def test_only_an_administrator_can_have_a_request_traced(stack, shop, customer, is_admin):
    caller = shop.admin if is_admin else customer
    unlucky = unsampled_traceparent()
    answer = caller.call("GET", "/api/orders", x_trace="always", traceparent=unlucky)
    assert answer.status_code == 200
    request_id = answer.headers["x-request-id"]
    if is_admin:
        await_spans(
            stack, trace_id_of(unlucky), lambda spans: ("orders", "ListOrders") in parts_of(spans)
        )
        assert run_script(stack, "trace", request_id)[0] == 0
        return
    later = sampled_traceparent()
    customer.call("GET", "/api/orders", traceparent=later)
    await_spans(stack, trace_id_of(later), lambda spans: ("orders", "mongodb") in parts_of(spans))
    assert run_script(stack, "trace", request_id)[0] == 1
