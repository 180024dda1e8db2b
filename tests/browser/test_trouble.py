"""What goes wrong is said in the customer's words; the cart is kept; there is a way on."""

import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.local]


@pytest.fixture
def at_checkout(open_browser, shop, customer):
    """Return a function that brings a customer with one product to the checkout."""

    def bring(product, *, expects=""):
        visitor = open_browser(expects=expects)
        visitor.add(product["sku"])
        visitor.visit("/shop/cart")
        visitor.page.locator(".summary .button").click()
        visitor.sign_in(customer.email)
        visitor.fill_address()
        return visitor

    return bring


def add_product(shop, **changes):
    """Add a product and return it as the shop shows it."""
    added = shop.add_product(**changes)
    return shop.visitor.get(f"/api/products/{added['productId']}").json()


def orders_of(customer):
    return customer.get("/api/orders").json()["total"]


def test_a_double_click_orders_once(at_checkout, shop, customer):
    visitor = at_checkout(add_product(shop))
    visitor.page.locator(".summary .button").dblclick()
    expect(visitor.page.locator(".message.success")).to_contain_text("Confirmée")
    assert orders_of(customer) == 1


def test_what_is_sold_out_meanwhile_is_named_and_the_cart_kept(at_checkout, shop, customer):
    product = add_product(shop, stock=1)
    visitor = at_checkout(product, expects="422")
    path = f"/api/products/{product['productId']}/inventory"
    assert shop.admin.patch(path, {"quantity": -1, "reason": "broken"}).status_code == 200
    visitor.order()
    expect(visitor.page.locator(".message.error")).to_contain_text(product["title"])
    visitor.page.get_by_role("link", name="Modifier le panier").click()
    expect(visitor.page.locator(".wrong-line")).to_contain_text("Épuisé")
    expect(visitor.page.locator(".summary .button")).to_have_attribute("aria-disabled", "true")
    assert orders_of(customer) == 0


def test_a_declined_card_costs_nothing_and_another_one_pays(at_checkout, shop, customer):
    visitor = at_checkout(add_product(shop))
    page = visitor.page
    page.get_by_label("Carte que la banque refuse").check()
    visitor.order()
    expect(page.locator(".message.error")).to_contain_text("rien ne sera envoyé")
    page.get_by_role("button", name="Essayer une autre carte").click()
    expect(page.get_by_label("Numéro et rue")).to_have_value("1 rue des Lilas")
    visitor.order()
    expect(page.locator(".message.success")).to_contain_text("Confirmée")


def test_a_session_that_ended_leads_to_the_sign_in_and_back(at_checkout, shop, customer):
    visitor = at_checkout(add_product(shop), expects="401")
    visitor.context.clear_cookies()
    visitor.order()
    expect(visitor.page.locator(".notice.warning")).to_contain_text("Reconnectez-vous")
    visitor.sign_in(customer.email)
    expect(visitor.page).to_have_url(re.compile("/shop/checkout"))
    visitor.fill_address()
    visitor.order()
    expect(visitor.page.locator(".message.success")).to_contain_text("Confirmée")
    assert orders_of(customer) == 1


def test_a_lost_connection_keeps_the_cart_and_the_repeat_orders_once(at_checkout, shop, customer):
    visitor = at_checkout(add_product(shop), expects="ERR_FAILED|ERR_INTERNET_DISCONNECTED")
    page = visitor.page

    def lose_the_answer(route):
        route.fetch()  # the order is placed, and the browser never hears of it
        route.abort()

    page.route("**/api/orders", lose_the_answer, times=1)
    visitor.order()
    expect(page.locator(".message.error")).to_contain_text("injoignable")
    expect(page.locator(".basket b")).to_have_text("1")
    page.get_by_role("button", name="Réessayer").click()
    expect(page.locator(".message.success")).to_contain_text("Confirmée")
    assert orders_of(customer) == 1


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (429, "RATE_LIMITED", "Attendez 7 secondes"),
        (503, "SERVICE_UNAVAILABLE", "fermé un instant"),
        (504, "DEADLINE_EXCEEDED", "commandé deux fois"),
        (500, "INTERNAL", "Une erreur"),
    ],
)
def test_a_shop_that_cannot_answer_says_so(open_browser, status, reason, words):
    visitor = open_browser(expects=str(status))
    error = {"details": [{"reason": reason, "metadata": {}}]}
    visitor.page.route(
        "**/api/products?*",
        lambda route: route.fulfill(
            status=status, body=json.dumps(error), headers={"retry-after": "7"}
        ),
        times=1,
    )
    page = visitor.visit("/shop/products")
    expect(page.locator(".message.error")).to_contain_text(words)
    page.get_by_role("button", name="Réessayer").click()
    expect(page.locator(".card.product").first).to_be_visible()


def test_a_changed_price_is_shown_before_the_order(visitor, shop):
    product = add_product(shop, price="10.00")
    visitor.add(product["sku"])
    changed = {name: product[name] for name in ("title", "description", "category", "imageUrl")}
    path = f"/api/products/{product['productId']}"
    assert shop.admin.put(path, changed | {"price": "12.00"}).status_code == 200
    # The cart asks past every cache only for who is signed in; for a visitor, within seconds.
    page = visitor.page

    def shows_it():
        visitor.visit("/shop/cart")
        expect(page.locator(".line")).to_be_visible()
        return page.locator(".message.warning").is_visible()

    for _ in range(30):
        if shows_it():
            break
    expect(page.locator(".message.warning")).to_contain_text("10,00")
    expect(page.locator(".summary .total")).to_contain_text("12,00")


def test_two_tabs_agree_on_cart_and_session(visitor, shop, customer):
    product = add_product(shop)
    other = visitor.open_tab()
    other.goto("/shop/cart")
    visitor.add(product["sku"])
    expect(other.locator(".line")).to_contain_text(product["title"])
    visitor.visit("/shop/sign-in")
    visitor.sign_in(customer.email)
    expect(other.locator(".tool[href='/shop/orders']")).to_be_visible()
    expect(other.locator(".line")).to_contain_text(product["title"])
    other.locator(".line > .plain").click()
    expect(visitor.page.locator(".basket b")).to_have_count(0)


def test_wrong_fields_are_named_beside_them(open_browser, customer):
    visitor = open_browser(expects="401|409")
    page = visitor.visit("/shop/register")
    page.locator("form.panel .button").click()
    expect(page.locator("#email-error")).to_be_visible()
    expect(page.locator("#firstName")).to_be_focused()
    page.get_by_label("Prénom").fill("Rosa")
    page.get_by_label("Nom", exact=True).fill("Martin")
    visitor.sign_in(customer.email)
    expect(page.locator(".message.error")).to_contain_text("déjà un compte")
    visitor.visit("/shop/sign-in")
    visitor.sign_in(customer.email, "this is not it")
    expect(page.locator(".message.error")).to_contain_text("mot de passe est faux")


def test_no_script_can_read_the_token_and_no_other_page_can_use_it(visitor, shop, customer):
    visitor.visit("/shop/sign-in")
    with visitor.page.expect_response("**/api/users/login") as answer:
        visitor.sign_in(customer.email)
    assert answer.value.json()["token"] == ""
    expect(visitor.page.locator(".tool[href='/shop/orders']")).to_be_visible()
    (cookie,) = visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/api")
    kept = visitor.page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
    assert cookie["value"] not in kept
    # The cookie alone, as another site could make a browser send it, does nothing.
    with_cookie = {"cookie": f"{cookie['name']}={cookie['value']}"}
    assert shop.http.get("/api/orders", headers=with_cookie).status_code == 401
    used = shop.http.get("/api/orders", headers=with_cookie | {"x-session": "1"})
    assert used.status_code == 200
    shop.http.cookies.clear()
