"""The catalog over REST."""

import uuid

import pytest

from tests.support.shop import error_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def test_sixty_demo_products_are_listed_in_five_categories(shop):
    pages = [shop.visitor.get(f"/api/products?limit=100&q=&page={page}").json() for page in (1,)]
    demo = [p for page in pages for p in page["products"] if p["sku"].startswith("prod_")]
    assert {product["sku"] for product in demo} == {f"prod_{n:03}" for n in range(1, 61)}
    assert len({product["category"] for product in demo}) == 5


def test_a_product_has_all_its_fields_by_id_and_by_sku(shop):
    product = shop.visitor.get("/api/products/prod_001").json()
    expected = (
        "productId sku title description category price currency stock imageUrl ratings promotion"
    )
    assert set(product) == set(expected.split())
    assert shop.visitor.get(f"/api/products/{product['productId']}").json() == product


def test_products_are_found_by_category_and_by_text(shop):
    product = shop.add_product(title="Extraordinary Zebra Biscuits", category="zebra-food")
    for query in ("category=zebra-food", "q=zebra%20biscuits"):
        found = shop.admin.get(f"/api/products?{query}").json()
        assert product["sku"] in [p["sku"] for p in found["products"]]


def test_stock_is_checked_line_by_line(shop):
    product, other = shop.add_product(stock=3), shop.add_product(stock=3)
    lines = [(product["sku"], 3), (other["productId"], 4), ("nothing", 1)]
    items = [{"productId": name, "quantity": quantity} for name, quantity in lines]
    answer = shop.visitor.post("/api/products/check-stock", {"items": items}).json()
    assert answer["allAvailable"] is False
    assert [(i["status"], i["availableQuantity"]) for i in answer["items"]] == [
        ("AVAILABLE", 3),
        ("INSUFFICIENT", 3),
        ("UNKNOWN_PRODUCT", 0),
    ]


def test_lines_of_one_product_are_checked_together(shop):
    product = shop.add_product(stock=5)
    items = [{"productId": product[name], "quantity": 3} for name in ("sku", "productId")]
    answer = shop.visitor.post("/api/products/check-stock", {"items": items}).json()
    assert answer["allAvailable"] is False
    assert {i["status"] for i in answer["items"]} == {"INSUFFICIENT"}


def test_stock_changes_by_signed_amounts_and_never_below_zero(shop):
    product = shop.add_product(stock=3)
    path = f"/api/products/{product['productId']}/inventory"
    removed = shop.admin.patch(path, {"quantity": -2, "reason": "damaged"})
    assert removed.json() == {"productId": product["productId"], "newQuantity": 1}
    too_much = shop.admin.patch(path, {"quantity": -2, "reason": "damaged"})
    assert error_of(too_much) == (409, "STOCK_BELOW_ZERO")
    assert shop.stock_of(product) == 1


def test_a_sku_belongs_to_one_product(shop):
    product = shop.add_product()
    again = {"sku": product["sku"], "title": "Again", "category": "dog-food", "price": "1.00"}
    assert error_of(shop.admin.post("/api/products", again)) == (409, "SKU_EXISTS")


def test_the_best_promotion_for_its_category_is_shown_on_a_product(shop):
    category = f"food-{uuid.uuid4().hex}"
    product = shop.add_product(category=category)
    code = shop.add_promotion(category=category, discountPercentage=90)
    path = f"/api/products/{product['productId']}"
    eventually(lambda: shop.admin.get(path).json().get("promotion", {}).get("code") == code)
