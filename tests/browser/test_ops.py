"""An engineer at night with a browser: /ops, and that it is for administrators alone."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE
from tests.support.shop import ADDRESS
from tests.support.traces import sampled_traceparent, trace_id_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

PRETEND = """
localStorage.session = JSON.stringify({...JSON.parse(localStorage.session), role: "admin"})
"""
DATA = ("mesh", "services/orders/history", "traces", f"traces/{'0' * 32}")


@pytest.fixture
def sign_in(stack):
    """Return a function with which a visitor becomes an administrator."""

    def sign_in(visitor):
        visitor.visit("/shop/sign-in")
        visitor.sign_in(*stack.admin_credentials())
        expect(visitor.page).to_have_url(re.compile("/admin$"))
        expect(visitor.page.locator(".figure").first).to_be_visible()
        return visitor.page

    return sign_in


@pytest.fixture
def traced_order(shop, customer):
    """Return the ids of an order and of its trace, which has arrived."""
    traceparent = sampled_traceparent()
    body = {
        "items": [{"productId": shop.add_product()["productId"], "quantity": 1}],
        "shippingAddress": ADDRESS,
    }
    answer = customer.post("/api/orders", body, traceparent=traceparent)
    assert answer.status_code == 201
    order_id, trace_id = answer.json()["orderId"], trace_id_of(traceparent)

    def processes():
        found = shop.admin.get(f"/api/ops/traces/{trace_id}").json()
        return {each["process"].split("-")[0] for each in found.get("spans", [])}

    eventually(lambda: processes() >= {"envoy", "orders", "catalog"})
    return order_id, trace_id


def test_the_trace_of_an_order_is_found_from_the_owners_page_and_drawn(
    visitor, traced_order, sign_in
):
    order_id, trace_id = traced_order
    page = sign_in(visitor)
    visitor.visit(f"/admin/orders/{order_id}")
    page.get_by_role("link", name="Ses traces").click()
    expect(page.locator("#trace-id")).to_have_value(order_id)
    page.locator(f"td a[href='/ops/traces/{trace_id}']").click()
    expect(page.locator(".waterfall")).to_contain_text("OrdersService/CreateOrder")
    expect(page.locator(".waterfall tbody tr").first).to_contain_text("POST /api/orders 201")
    expect(page.locator(".waterfall tbody tr").first).to_contain_text("envoy")


def test_an_unknown_id_has_a_clear_line(visitor, sign_in):
    visitor._expects = "404"
    page = sign_in(visitor)
    visitor.visit("/ops/traces")
    page.get_by_label("Id of a trace").fill("no-such-order")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".message").first).to_contain_text("There is no trace of that")
    visitor.visit(f"/ops/traces/{'0' * 32}")
    expect(page.locator(".message.error")).to_contain_text("trace")


def test_without_prometheus_the_page_says_that_nothing_is_monitored(visitor, sign_in):
    page = sign_in(visitor)
    visitor.visit("/ops")
    expect(page.locator(".ops-page .message")).to_contain_text("Not monitored")


def test_a_customer_finds_nothing_there(visitor, shop, customer):
    visitor._expects = "403"
    visitor.page.goto("/ops")
    visitor.sign_in(customer.email)
    expect(visitor.page.get_by_role("heading", name="Réservé à la patronne")).to_be_visible()
    visitor.page.evaluate(PRETEND)
    visitor.visit("/ops")
    expect(visitor.page.locator(".message.error")).to_be_visible()
    for path in DATA:
        refused, anonymous = customer.get(f"/api/ops/{path}"), shop.visitor.get(f"/api/ops/{path}")
        assert (refused.status_code, anonymous.status_code) == (403, 401), path
        assert refused.json()["details"][0]["reason"] == "ADMIN_ONLY"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_no_page_is_wider_than_a_phone(
    open_browser, traced_order, sign_in, scheme
):
    # axe writes its own styles, which the pages' policy would not let in.
    visitor = open_browser(color_scheme=scheme, bypass_csp=True, viewport=PHONE, locale="en-GB")
    sign_in(visitor)
    found = {}
    for path in ("/ops", "/ops/traces", f"/ops/traces/{traced_order[1]}"):
        visitor.visit(path)
        expect(visitor.page.locator(".skeleton")).to_have_count(0)
        wide = visitor.overflow()
        found[path] = visitor.serious_findings() + ([f"{wide} px too wide"] if wide > 0 else [])
    assert {path: each for path, each in found.items() if each} == {}
