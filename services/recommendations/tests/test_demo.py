"""The demo clients: believable, always the same, and products as the catalog has them."""

import json
from pathlib import Path

from services.recommendations import demo
from services.recommendations.domain import ClientTold, recommend
from services.recommendations.tests.fakes import NOW, InMemoryRecommendationsRepository

CATALOG = Path(__file__).parents[2] / "catalog" / "demo_products.json"


def seeded():
    repository = InMemoryRecommendationsRepository()
    demo.seed(repository)
    return repository


def test_the_demo_products_are_those_of_the_catalog():
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    told = {(entry["sku"], entry["title"], entry["category"]) for entry in catalog}
    assert {(p.sku, p.title, p.category) for p in demo.products()} == told


def test_demo_clients_are_the_same_each_time_and_say_what_they_are():
    first, second = list(demo.clients()), list(demo.clients())
    assert first == second
    assert {client.user_id[:12] for client in first} == {"demo-client-"}
    assert len({client.user_id for client in first}) == len(first) == 87


def test_seeding_again_changes_nothing():
    repository = seeded()
    before = repository.gather("demo-client-01", 5)
    demo.seed(repository)
    assert repository.gather("demo-client-01", 5) == before


def test_a_new_client_with_a_cat_is_recommended_what_cats_like():
    repository = seeded()
    repository.apply("1", ClientTold(user_id="alice", animal_type="cat", as_of=NOW))
    found = recommend(repository.gather("alice", 5), 5, NOW)
    assert {each.reason for each in found} == {"Popular with cat owners."}
    assert len(found) == 5
    assert sum("Cat" in f"{each.product.title} {each.product.category}".title() for each in found)


def test_who_buys_hay_is_recommended_what_goes_with_it():
    repository = seeded()
    repository.train("alice", ["prod_025"], NOW)
    found = recommend(repository.gather("alice", 3), 3, NOW)
    assert {each.product.category for each in found} <= {"small-animals", "toys"}
