"""Customers shop with a browser: from the first look to the refund."""

import re
import uuid

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE
from tests.support.shop import PASSWORD
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

MOST_REQUESTS = 10
MOST_BYTES = 100_000


def test_a_whole_trip_from_the_first_look_to_the_refund(visitor, shop):
    page = visitor.visit("/")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    page.get_by_role("searchbox").first.fill("saumon")
    page.keyboard.press("Enter")
    expect(page.locator(".card.product").first).to_be_visible()
    page.locator(".card.product h3 a").first.click()
    page.locator(".buy > .button").click()
    page.locator(".basket").click()
    page.locator(".summary .button").click()
    page.get_by_role("link", name="Créer un compte").click()
    page.get_by_label("Prénom").fill("Rosa")
    page.get_by_label("Nom", exact=True).fill("<b>Martin</b>")
    visitor.sign_in(f"{uuid.uuid4().hex}@customers.example")
    visitor.fill_address()
    page.get_by_label("Code promo").fill("EXPIRED20")
    expect(page.locator("#promoCode-error")).to_have_text(re.compile("expiré"))
    page.get_by_label("Code promo").fill("welcome10")
    expect(page.locator(".summary .good").first).to_contain_text("10")
    visitor.order()
    expect(page.locator(".message.success")).to_contain_text("Confirmée")
    page.get_by_role("button", name="Annuler cette commande").click()
    page.get_by_role("button", name="Annuler la commande").click()
    expect(page.locator(".message.warning")).to_contain_text("Annulée")
    expect(page.locator(".summary")).to_contain_text("Remboursé")
    page.locator(".tool[href='/shop/orders']").click()
    expect(page.locator(".pill")).to_have_text("Annulée")
    page.locator(".tool[href='/shop/account']").click()
    expect(page.get_by_label("Nom", exact=True)).to_have_value("<b>Martin</b>")
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page.locator(".tool[href='/shop/sign-in']")).to_be_visible()
    assert visitor.context.cookies() == []


def test_a_signed_in_customer_follows_an_order_rates_it_and_buys_again(visitor, shop, customer):
    order_id = customer.buy(({"productId": "prod_013"}, 1))
    visitor.visit(f"/shop/sign-in?next=/shop/orders/{order_id}")
    visitor.sign_in(customer.email)
    page = visitor.page
    expect(page.locator(".live.on")).to_be_visible()
    for status, words in (("PROCESSING", "En préparation"), ("SHIPPED", "En route")):
        body = {"status": status} | ({"trackingNumber": "COLIS-7"} if status == "SHIPPED" else {})
        assert shop.admin.post(f"/api/orders/{order_id}/status", body).status_code == 200
        expect(page.locator(".steps .now")).to_contain_text(words)
    expect(page.locator(".message")).to_contain_text("COLIS-7")
    page.locator(".line a").nth(1).click()
    page.locator(".star-choice label").nth(4).click()
    page.get_by_label("Que diriez-vous").fill("<script>alert(1)</script>")
    page.get_by_role("button", name="Envoyer l").click()
    expect(page.locator(".notice.success")).to_be_visible()
    page.locator(".brand").first.click()
    expect(page.get_by_role("heading", name="Bonjour Alice")).to_be_visible()
    expect(page.get_by_role("heading", name="Acheter à nouveau")).to_be_visible()


def test_the_language_and_the_password_are_the_persons_own(visitor, customer):
    visitor.visit("/shop/sign-in?next=/shop/account")
    visitor.sign_in(customer.email)
    page = visitor.page
    page.locator("#language").select_option("en")
    page.get_by_role("button", name="Enregistrer").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    page.locator("#currentPassword").fill("not my password")
    page.locator("#newPassword").fill("a new long password")
    visitor._expects = "401"
    page.locator("form:has(#newPassword) .button").click()
    expect(page.locator("#currentPassword-error")).to_be_visible()
    page.locator("#currentPassword").fill(PASSWORD)
    page.locator("form:has(#newPassword) .button").click()
    expect(page.locator(".notice.success")).to_have_text(re.compile("password is changed"))


def test_the_filters_are_in_the_address_and_the_back_button_knows_them(visitor):
    page = visitor.visit("/shop/products")
    page.locator("#category").select_option("cat-food")
    expect(page).to_have_url(re.compile("category=cat-food"))
    page.locator("#sort").select_option("PRICE_ASCENDING")
    expect(page).to_have_url(re.compile("sort=PRICE_ASCENDING"))
    expect(page.locator(".price").first).to_be_visible()
    shown = [re.sub(r"[^\d,]", "", text) for text in page.locator(".price").all_inner_texts()]
    prices = [float(text.replace(",", ".")) for text in shown]
    assert prices == sorted(prices)
    page.locator("#q").fill("mousse")
    expect(page.locator(".card.product")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=mousse"))
    page.go_back()
    expect(page.locator("#sort")).to_have_value("")
    page.reload()
    expect(page.locator("#category")).to_have_value("cat-food")


def test_a_customer_shops_with_the_keyboard_alone(visitor, customer):
    page = visitor.visit("/shop/products/prod_001")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    visitor.tab_to(page.locator(".buy > .button"))
    page.keyboard.press("Enter")
    visitor.visit("/shop/cart")
    visitor.tab_to(page.locator(".summary .button"))
    page.keyboard.press("Enter")
    visitor.tab_to(page.locator("#email"))
    page.keyboard.type(customer.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    for name, value in (("line1", "1 rue des Lilas"), ("postalCode", "75011"), ("city", "Paris")):
        visitor.tab_to(page.locator(f"[name='shippingAddress.{name}']"))
        page.keyboard.type(value)
    page.keyboard.press("Enter")
    expect(page.locator(".message.success")).to_contain_text("Confirmée")
    expect(page.locator("h1")).to_be_focused()


def pages_of(visitor, customer, order_id):
    """Visit every page; yield its path."""
    for path in (
        "/",
        "/shop/products",
        "/shop/products/prod_001",
        "/shop/sign-in",
        "/shop/register",
    ):
        visitor.visit(path)
        yield path
    visitor.add("prod_001")
    visitor.visit("/shop/sign-in?next=/shop/cart")
    visitor.sign_in(customer.email)
    expect(visitor.page.locator(".line")).to_be_visible()
    yield "/shop/cart"
    for path in (
        "/shop/checkout",
        "/shop/orders",
        f"/shop/orders/{order_id}",
        "/shop/account",
        "/",
    ):
        visitor.visit(path)
        expect(visitor.page.locator(".skeleton")).to_have_count(0)
        yield path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(open_browser, shop, customer, scheme):
    # axe writes its own styles, which the pages' policy would not let in.
    visitor = open_browser(color_scheme=scheme, bypass_csp=True)
    order_id = customer.buy(({"productId": "prod_001"}, 1))
    found = {path: visitor.serious_findings() for path in pages_of(visitor, customer, order_id)}
    assert {path: each for path, each in found.items() if each} == {}


def test_no_page_is_wider_than_a_phone(open_browser, shop, customer):
    visitor = open_browser(viewport=PHONE, locale="en-GB", has_touch=True)
    order_id = customer.buy(({"productId": "prod_001"}, 1))
    wide = {path: visitor.overflow() for path in pages_of(visitor, customer, order_id)}
    assert {path: pixels for path, pixels in wide.items() if pixels > 0} == {}


def test_the_start_page_is_light_and_a_second_visit_lighter(visitor, say):
    network = visitor.context.new_cdp_session(visitor.page)
    network.send("Network.enable")
    received: list[int] = []
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    visitor.visit("/")
    expect(visitor.page.locator(".card.product").first).to_be_visible()
    visitor.page.wait_for_load_state("networkidle")
    first = received.copy()
    received.clear()
    visitor.visit("/")
    expect(visitor.page.locator(".card.product").first).to_be_visible()
    visitor.page.wait_for_load_state("networkidle")
    say(f"start page: {len(first)} requests, {sum(first) / 1000:.0f} kB; again: {sum(received)} B")
    assert len(first) <= MOST_REQUESTS
    assert sum(first) <= MOST_BYTES
    assert sum(received) <= MOST_BYTES / 10


def test_a_mails_link_leads_to_the_order_after_signing_in(visitor, shop, customer):
    order_id = customer.buy(({"productId": "prod_001"}, 1))
    eventually(lambda: customer.get(f"/api/orders/{order_id}").json()["status"] == "CONFIRMED")
    visitor.page.goto(f"/shop/orders/{order_id}?utm_source=mail")
    visitor.sign_in(customer.email)
    expect(visitor.page.locator(".message.success")).to_contain_text("Confirmée")
