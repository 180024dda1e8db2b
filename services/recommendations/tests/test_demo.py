"""The demo customers: deterministic, with products of the catalog."""

import json
from pathlib import Path

from services.recommendations import demo
from services.recommendations.domain import CustomerChanged, recommend
from services.recommendations.tests.fakes import NOW, InMemoryRecommendationsRepository

CATALOG = Path(__file__).parents[2] / "catalog" / "demo_products.json"


def seeded():
    repository = InMemoryRecommendationsRepository()
    demo.seed(repository)
    return repository


def test_the_demo_products_are_those_of_the_catalog():
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    expected = {(entry["sku"], entry["title"], entry["category"]) for entry in catalog}
    assert {(p.sku, p.title, p.category) for p in demo.products()} == expected


def test_demo_customers_are_deterministic_and_have_recognizable_ids():
    first, second = list(demo.customers()), list(demo.customers())
    assert first == second
    assert {customer.user_id[:12] for customer in first} == {"demo-client-"}
    assert len({customer.user_id for customer in first}) == len(first) == 87


def test_seeding_again_changes_nothing():
    repository = seeded()
    before = repository.load_candidates("demo-client-01", 5)
    demo.seed(repository)
    assert repository.load_candidates("demo-client-01", 5) == before


def test_a_new_customer_with_a_cat_gets_products_of_cat_owners():
    repository = seeded()
    repository.apply("1", CustomerChanged(user_id="alice", animal_type="cat", as_of=NOW))
    found = recommend(repository.load_candidates("alice", 5), 5, NOW)
    assert {each.reason for each in found} == {"Popular with cat owners."}
    assert len(found) == 5
    assert sum("Cat" in f"{each.product.title} {each.product.category}".title() for each in found)


def test_a_customer_who_buys_hay_gets_products_for_small_animals():
    repository = seeded()
    repository.train("alice", ["prod_025"], NOW)
    found = recommend(repository.load_candidates("alice", 3), 3, NOW)
    assert {each.product.category for each in found} <= {"small-animals", "toys"}
