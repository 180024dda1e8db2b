"""The owner of the shop at work with a browser: /admin, and that it is for nobody else."""

import re
import uuid

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

PRETEND = """
localStorage.session = JSON.stringify({...JSON.parse(localStorage.session), role: "admin"})
"""
PATHS = (
    "/admin",
    "/admin/orders",
    "/admin/orders?show=stuck",
    "/admin/products",
    "/admin/products/prod_001",
    "/admin/products/new",
    "/admin/promotions",
    "/admin/customers",
    "/admin/checks",
)


@pytest.fixture
def sign_in(stack):
    """Return a function with which a visitor becomes the owner."""

    def sign_in(visitor):
        visitor.visit("/shop/sign-in")
        visitor.sign_in(*stack.admin_credentials())
        expect(visitor.page).to_have_url(re.compile("/admin$"))
        expect(visitor.page.locator(".figure").first).to_be_visible()
        return visitor.page

    return sign_in


def test_the_owner_packs_and_ships_an_order_that_waits(visitor, shop, customer, sign_in):
    order_id = customer.buy((shop.add_product(title="Bol de Noël"), 2))
    page = sign_in(visitor)
    expect(page.get_by_role("heading", name="Aujourd")).to_be_visible()
    page.locator(".admin-menu").get_by_role("link", name="Commandes").click()
    page.get_by_label("Numéro de commande").fill(order_id[:8].upper())
    page.get_by_role("button", name="Rechercher").last.click()
    page.locator(f".admin-rows a[href='/admin/orders/{order_id}']").click()
    page.get_by_role("button", name="Commencer la préparation").click()
    page.get_by_role("button", name="Marquer comme expédiée").click()
    expect(page.locator("#trackingNumber-error")).to_be_visible()
    page.get_by_label("Numéro de colis").fill("<b>COLIS-9</b>")
    page.get_by_role("button", name="Marquer comme expédiée").click()
    expect(page.locator(".pill").first).to_have_text("En route")
    expect(page.locator(".story li").last).to_contain_text("<b>COLIS-9</b>")
    expect(page.locator(".story li").first).to_contain_text("Commandée")
    assert customer.get_order(order_id)["shipping"]["trackingNumber"] == "<b>COLIS-9</b>"
    waiting = shop.admin.get("/api/admin/orders?filter=TO_SHIP&limit=100").json()
    assert order_id not in [each["orderId"] for each in waiting["orders"]]


def test_the_owner_puts_a_product_on_sale_and_changes_its_stock(visitor, sign_in):
    visitor._expects = "409"
    page = sign_in(visitor)
    page.locator(".admin-menu").get_by_role("link", name="Produits").click()
    page.get_by_role("link", name="Nouveau produit").click()
    name, sku = f"Balle {uuid.uuid4().hex}", f"test_{uuid.uuid4().hex[:12]}"
    page.get_by_label("Nom", exact=True).fill(name)
    page.get_by_label("Référence").fill("prod_001")
    page.locator("#category").select_option("toys")
    page.get_by_label("Prix").fill("4,5O")
    page.get_by_role("button", name="Mettre en vente").click()
    expect(page.locator("#price-error")).to_be_visible()
    page.get_by_label("Prix").fill("4,50")
    page.get_by_label("Unités en vente").fill("7")
    page.get_by_role("button", name="Mettre en vente").click()
    expect(page.locator("#sku-error")).to_have_text(re.compile("référence"))
    page.get_by_label("Référence").fill(sku)
    page.get_by_role("button", name="Mettre en vente").click()
    expect(page).to_have_url(re.compile(f"/admin/products/{sku}"))
    page.get_by_label("Ajouter ou retirer").fill("-8")
    page.get_by_role("button", name="Abîmé").click()
    page.get_by_role("button", name="Modifier le stock").click()
    expect(page.locator("#quantity-error")).to_contain_text("7")
    page.get_by_label("Ajouter ou retirer").fill("\N{MINUS SIGN}4")
    page.get_by_role("button", name="Modifier le stock").click()
    expect(page.locator(".on-sale")).to_contain_text("3")
    visitor.visit("/admin")
    expect(page.locator(".rows")).to_contain_text(name)
    visitor.visit(f"/shop/products?q={name.split()[1]}")
    expect(page.locator(".card.product")).to_contain_text(name)
    expect(page.locator(".card.product .price")).to_contain_text("4,50")


def test_the_owner_creates_a_code_and_ends_it(visitor, shop, sign_in):
    visitor._expects = "409"
    code = f"T{uuid.uuid4().hex[:12].upper()}"
    page = sign_in(visitor)
    page.locator(".admin-menu").get_by_role("link", name="Codes promo").click()
    page.get_by_label("Code promo").fill("welcome10")
    page.get_by_label("Remise (%)").fill("15")
    page.locator("#category").select_option("toys")
    page.get_by_role("button", name="Créer le code").click()
    expect(page.locator("#code-error")).to_have_text(re.compile("existe déjà"))
    page.get_by_label("Code promo").fill(code.lower())
    page.get_by_role("button", name="Créer le code").click()
    row = page.locator(".codes li", has_text=code)
    expect(row.locator(".pill")).to_have_text("Actif")
    row.get_by_role("button", name=f"Arrêter {code}").click()
    row.get_by_role("button", name="Arrêter maintenant").click()
    expect(row.locator(".pill")).to_have_text("Terminé")
    body = {"promoCode": code, "cartTotal": "10.00"}
    answer = shop.admin.post("/api/promotions/validate", body).json()
    assert (answer["isValid"], answer["reason"]) == (False, "CODE_EXPIRED")


def test_the_owner_sees_what_was_written_to_a_customer(visitor, shop, customer, sign_in):
    visitor._expects = "404"
    path = f"/api/notifications?userId={customer.user_id}"
    eventually(lambda: shop.admin.get(path).json()["notifications"])
    page = sign_in(visitor)
    page.locator(".admin-menu").get_by_role("link", name="Clients").click()
    page.get_by_label("E-mail").fill("nobody@customers.example")
    page.get_by_role("button", name="Rechercher").last.click()
    expect(page.locator("#email-error")).to_be_visible()
    page.get_by_label("E-mail").fill(customer.email.upper())
    page.get_by_role("button", name="Rechercher").last.click()
    expect(page.locator("h1")).to_have_text("Alice Martin")
    expect(page.locator(".sent li")).to_contain_text("Bienvenue")


def test_a_customer_finds_nothing_at_the_owners_door(visitor, shop, customer):
    visitor._expects = "403"
    visitor.page.goto("/admin")
    visitor.sign_in(customer.email)
    page = visitor.page
    expect(page.get_by_role("heading", name="Réservé à la patronne")).to_be_visible()
    expect(page.locator(".tool[href='/admin']")).to_have_count(0)
    # Who pretends in the browser gets the page and no data: the services decide.
    page.evaluate(PRETEND)
    visitor.visit("/admin")
    expect(page.locator(".message.error")).to_contain_text("patronne")
    assert customer.get("/api/admin/day").status_code == 403
    assert shop.visitor.get("/api/admin/orders").status_code == 401


def test_the_owner_works_with_the_keyboard_alone(visitor, shop, customer, sign_in):
    order_id = customer.buy((shop.add_product(), 1))
    page = sign_in(visitor)
    visitor.tab_to(page.locator(".admin-menu a[href='/admin/orders']"))
    page.keyboard.press("Enter")
    visitor.tab_to(page.locator("#number"))
    page.keyboard.type(order_id)
    page.keyboard.press("Enter")
    visitor.tab_to(page.locator(f".admin-rows a[href='/admin/orders/{order_id}']"))
    page.keyboard.press("Enter")
    visitor.tab_to(page.locator(".next .button"))
    page.keyboard.press("Enter")
    visitor.tab_to(page.locator("#trackingNumber"))
    page.keyboard.type("COLIS-8")
    page.keyboard.press("Enter")
    expect(page.locator(".pill").first).to_have_text("En route")


def test_axe_finds_nothing_serious_and_no_page_is_wider_than_a_phone(
    open_browser, shop, customer, sign_in
):
    # axe writes its own styles, which the pages' policy would not let in.
    visitor = open_browser(bypass_csp=True, viewport=PHONE, locale="en-GB")
    order_id = customer.buy((shop.add_product(), 1))
    page = sign_in(visitor)
    found = {}
    for path in (*PATHS, f"/admin/orders/{order_id}", f"/admin/customers/{customer.user_id}"):
        visitor.visit(path)
        expect(page.locator(".skeleton")).to_have_count(0)
        wide = visitor.overflow()
        found[path] = [f"{wide} px too wide"] if wide > 0 else []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found[path] += visitor.serious_findings()
    assert {path: each for path, each in found.items() if each} == {}
