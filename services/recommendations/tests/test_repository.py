"""The contract of a recommendations repository, for the fake and for a real graph."""

import itertools
import random
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from services.common.errors import StoreUnavailableError
from services.recommendations import demo
from services.recommendations.domain import (
    BUYER_SAMPLE_SIZE,
    CustomerChanged,
    OrderCancelled,
    OrderPlaced,
    ProductNotFoundError,
    recommend,
)
from services.recommendations.repository import BoltRecommendationsRepository, connect
from services.recommendations.tests.fakes import (
    NOW,
    InMemoryRecommendationsRepository,
    build_product,
)

DAY = timedelta(days=1)
BALL, ROPE, DISC = (build_product(name) for name in ("ball", "rope", "disc"))
KIBBLE = build_product("croquettes", "dog-food")


@pytest.fixture(params=["memory", pytest.param("bolt", marks=pytest.mark.integration)])
def repository(request):
    real = request.param == "bolt"
    return request.getfixturevalue("store") if real else InMemoryRecommendationsRepository()


def new_id():
    return str(uuid.uuid4())


def change_customer(repository, user_id, animal, as_of=NOW, version=0):
    change = CustomerChanged(user_id=user_id, animal_type=animal, as_of=as_of, version=version)
    return repository.apply(new_id(), change)


def place(repository, user_id, *products, order_id="", as_of=NOW, event_id=""):
    order = OrderPlaced(
        order_id=order_id or new_id(), user_id=user_id, products=products, as_of=as_of
    )
    return repository.apply(event_id or new_id(), order)


def cancel(repository, user_id, order_id):
    return repository.apply(new_id(), OrderCancelled(order_id=order_id, user_id=user_id))


def purchases(repository, user_id):
    found = repository.load_candidates(user_id, 5).history.purchases
    return [(each.product.title, each.count, each.last_at) for each in found]


def co_purchases(repository, user_id):
    found = repository.load_candidates(user_id, 5).co_purchases
    return {
        each.product.title: (
            round(each.strength, 6),
            each.shared_buyers,
            each.buyers,
            each.source_id,
        )
        for each in found
    }


def popular(found):
    return {each.product.title: each.buyers for each in found}


def test_an_unknown_customer_has_no_history(repository):
    history = repository.load_candidates("alice", 5).history
    assert (history.user_id, history.animal_type, history.purchases) == ("alice", "", [])


def test_the_newest_change_of_a_customer_wins(repository):
    change_customer(repository, "alice", "dog", NOW)
    change_customer(repository, "alice", "cat", NOW + DAY)
    change_customer(repository, "alice", "bird", NOW - DAY)
    assert repository.load_candidates("alice", 5).history.animal_type == "cat"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_highest_version_of_a_customer_wins_whatever_the_clocks(repository, order):
    changes = [("dog", NOW + DAY, 0), ("cat", NOW + timedelta(seconds=90), 2), ("bird", NOW, 3)]
    for number in order:
        change_customer(repository, "alice", *changes[number])
    assert repository.load_candidates("alice", 5).history.animal_type == "bird"


def test_the_newest_data_of_a_product_wins(repository):
    newer = replace(BALL, title="Balle", category="new")
    place(repository, "alice", newer, as_of=NOW)
    place(repository, "alice", BALL, as_of=NOW - DAY)
    (purchase,) = repository.load_candidates("alice", 5).history.purchases
    assert (purchase.product, purchase.count) == (newer, 2)


def test_purchases_are_counted_and_sorted_newest_first(repository):
    place(repository, "alice", BALL, ROPE, as_of=NOW)
    place(repository, "alice", ROPE, as_of=NOW + DAY)
    place(repository, "bob", ROPE)
    assert purchases(repository, "alice") == [("Rope", 2, NOW + DAY), ("Ball", 1, NOW)]
    buyers = [each.buyers for each in repository.load_candidates("alice", 5).history.purchases]
    assert buyers == [2, 1]


def test_an_event_has_one_effect(repository):
    assert place(repository, "alice", BALL, event_id="event-1")
    assert not place(repository, "alice", BALL, event_id="event-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_an_order_in_two_events_counts_once(repository):
    for _ in range(2):
        place(repository, "alice", BALL, order_id="order-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_a_batch_has_the_effect_of_its_events(repository):
    order = partial(OrderPlaced, as_of=NOW)
    new_title = [replace(DISC, title="New")]
    both = order(order_id="order-1", user_id="alice", products=[BALL, ROPE])
    place(repository, "alice", ROPE, order_id="order-0", event_id="event-0", as_of=NOW - DAY)
    batch = {
        "event-0": order(order_id="order-0", user_id="alice", products=[ROPE]),
        "event-1": both,
        "event-2": both,
        "event-3": order(order_id="order-3", user_id="alice", products=[BALL]),
        "event-4": order(order_id="order-4", user_id="bob", products=[BALL]),
        "event-5": OrderCancelled(order_id="order-6", user_id="carol"),
        "event-6": order(order_id="order-6", user_id="carol", products=[BALL, DISC]),
        "event-7": CustomerChanged(user_id="dave", animal_type="cat", as_of=NOW, version=2),
        "event-8": CustomerChanged(user_id="dave", animal_type="dog", as_of=NOW, version=1),
        "event-9": OrderPlaced(
            order_id="order-9", user_id="dave", products=new_title, as_of=NOW + DAY
        ),
    }
    assert set(repository.apply_all(batch)) == batch.keys() - {"event-0"}
    assert repository.apply_all(batch) == set()
    assert purchases(repository, "alice") == [("Ball", 2, NOW), ("Rope", 2, NOW)]
    assert purchases(repository, "bob") == [("Ball", 1, NOW)]
    assert purchases(repository, "carol") == []
    assert repository.load_candidates("dave", 5).history.animal_type == "cat"
    buyers = {
        each.product.title: each.buyers
        for user_id in ("alice", "dave")
        for each in repository.load_candidates(user_id, 5).history.purchases
    }
    assert buyers == {"Ball": 2, "Rope": 1, "New": 1}


def test_every_change_of_a_customer_changes_their_version(repository):
    assert repository.read_version("alice") == ""
    versions = set()
    for change in (
        partial(change_customer, repository, "alice", "dog"),
        partial(place, repository, "alice", BALL, order_id="order-1"),
        partial(repository.train, "alice", ["sku-ball"], NOW),
        partial(cancel, repository, "alice", "order-1"),
    ):
        change()
        versions.add(repository.read_version("alice"))
        place(repository, "bob", BALL)
        assert repository.read_version("alice") in versions
    assert len(versions) == 4


def test_only_the_cancelled_order_is_removed(repository):
    place(repository, "alice", BALL, ROPE, order_id="order-1", as_of=NOW)
    place(repository, "alice", ROPE, order_id="order-2", as_of=NOW - DAY)
    place(repository, "bob", BALL)
    cancel(repository, "alice", "order-1")
    assert purchases(repository, "alice") == [("Rope", 1, NOW - DAY)]
    assert purchases(repository, "bob") == [("Ball", 1, NOW)]


def test_cancelling_twice_or_an_unknown_order_changes_nothing(repository):
    place(repository, "alice", BALL, order_id="order-1")
    for order_id in ("order-2", "order-2", "order-3"):
        cancel(repository, "alice", order_id)
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_an_order_that_comes_after_its_cancellation_is_ignored(repository):
    cancel(repository, "alice", "order-1")
    place(repository, "alice", BALL, order_id="order-1")
    assert purchases(repository, "alice") == []


def test_training_adds_products_by_id_or_sku_and_counts_new_ones(repository):
    repository.upsert_products([BALL, ROPE, DISC], NOW)
    place(repository, "alice", BALL, as_of=NOW)
    names = ["sku-ball", "id-rope", "ID-ROPE", "sku-disc"]
    assert repository.train("alice", names, NOW - DAY) == 2
    assert repository.train("alice", names, NOW + DAY) == 0
    assert purchases(repository, "alice") == [
        ("Ball", 2, NOW),
        ("Disc", 1, NOW - DAY),
        ("Rope", 1, NOW - DAY),
    ]


def test_training_with_an_unknown_product_changes_nothing(repository):
    repository.upsert_products([BALL], NOW)
    with pytest.raises(ProductNotFoundError):
        repository.train("alice", ["sku-ball", "other"], NOW)
    assert purchases(repository, "alice") == []


def test_a_trained_purchase_stays_when_its_order_is_cancelled(repository):
    place(repository, "alice", BALL, order_id="order-1", as_of=NOW)
    assert repository.train("alice", ["id-ball"], NOW - DAY) == 0
    cancel(repository, "alice", "order-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW - DAY)]


def test_co_purchases_are_products_of_customers_who_share_a_purchase(repository):
    place(repository, "alice", BALL, KIBBLE)
    place(repository, "bob", BALL, ROPE)
    place(repository, "carol", BALL, KIBBLE, ROPE, DISC)
    place(repository, "dave", build_product("lead"), DISC)
    assert co_purchases(repository, "alice") == {
        "Rope": (round(2 / 3**0.5 + 1 / 2**0.5, 6), 3, 2, "id-ball"),
        "Disc": (round(1 / 3**0.5 + 1 / 2**0.5, 6), 2, 2, "id-croquettes"),
    }


def test_a_product_without_a_title_is_not_a_candidate(repository):
    place(repository, "alice", BALL)
    place(repository, "bob", BALL, replace(ROPE, title=""))
    candidates = repository.load_candidates("alice", 5)
    assert (list(candidates.co_purchases), list(candidates.overall)) == ([], [])


def test_popularity_is_counted_by_animal_by_category_and_overall(repository):
    for user_id, animal in (("alice", "dog"), ("bob", "dog"), ("carol", "cat")):
        change_customer(repository, user_id, animal)
    place(repository, "alice", KIBBLE)
    place(repository, "bob", ROPE, build_product("stew", "dog-food"))
    place(repository, "carol", ROPE, DISC)
    candidates = repository.load_candidates("alice", 5)
    assert popular(candidates.with_animal) == {"Rope": 1, "Stew": 1}
    assert popular(candidates.in_categories) == {"Stew": 1}
    assert popular(candidates.overall) == {"Rope": 2, "Stew": 1, "Disc": 1}


def test_without_an_animal_there_are_no_candidates_for_it(repository):
    place(repository, "bob", ROPE)
    assert list(repository.load_candidates("alice", 5).with_animal) == []


def test_deleting_event_data_keeps_only_trained_purchases(repository):
    repository.upsert_products([BALL, ROPE], NOW)
    repository.train("alice", ["id-ball"], NOW - DAY)
    place(repository, "alice", BALL, ROPE, order_id="order-1", event_id="event-1")
    cancel(repository, "alice", "order-2")
    repository.delete_event_data()
    assert purchases(repository, "alice") == [("Ball", 1, NOW - DAY)]
    assert place(repository, "alice", BALL, order_id="order-1", event_id="event-1")
    assert place(repository, "alice", ROPE, order_id="order-2")
    assert purchases(repository, "alice") == [("Ball", 2, NOW), ("Rope", 1, NOW)]


def test_event_data_of_an_empty_graph_can_be_deleted(repository):
    repository.delete_event_data()
    repository.ping()


def test_the_order_of_events_does_not_matter(repository):
    changes = [
        ("1", OrderPlaced(order_id="a", user_id="alice", products=[BALL, ROPE], as_of=NOW)),
        ("2", OrderPlaced(order_id="b", user_id="alice", products=[BALL], as_of=NOW + DAY)),
        ("3", OrderCancelled(order_id="a", user_id="alice")),
        ("4", CustomerChanged(user_id="alice", animal_type="cat", as_of=NOW)),
    ]
    for order in itertools.permutations(changes):
        repository.delete_event_data()
        for event_id, change in order:
            repository.apply(event_id, change)
        assert purchases(repository, "alice") == [("Ball", 1, NOW + DAY)]
        assert repository.load_candidates("alice", 5).history.animal_type == "cat"


@pytest.mark.integration
class TestOnARealGraph:
    """Sampling and concurrency, which the fake does not have."""

    def test_it_gives_the_same_recommendations_as_the_fake(self, store):
        fake, chance = InMemoryRecommendationsRepository(), random.Random(4)
        products = [build_product(f"p{n:02}", f"category-{n % 4}") for n in range(30)]
        for number in range(60):
            user_id = f"customer-{number % 25}"
            order = OrderPlaced(
                order_id=f"order-{number}",
                user_id=user_id,
                products=chance.sample(products, chance.randint(1, 6)),
                as_of=NOW + number * DAY,
            )
            changed = CustomerChanged(user_id=user_id, animal_type=chance.choice("abc"), as_of=NOW)
            for each in (fake, store):
                each.apply(f"changed-{user_id}", changed)
                each.apply(f"event-{number}", order)
        for number in range(26):
            for limit in (1, 5, 50):
                expected, found = (
                    recommend(
                        each.load_candidates(f"customer-{number}", limit), limit, NOW + 60 * DAY
                    )
                    for each in (fake, store)
                )
                assert [(f.product, f.score) for f in found] == [
                    (e.product, e.score) for e in expected
                ]

    def test_the_buyers_of_a_popular_product_are_sampled_deterministically(self, store, graph):
        store.upsert_products([BALL, ROPE], NOW)
        graph(
            """
            UNWIND range(0, $customers - 1) AS n
            CREATE (c:Client {user_id: 'c' + toString(n), bucket: n * 10000 / $customers})
            WITH c MATCH (p:Product)
            CREATE (c)-[:BOUGHT {orders: ['o'], times: [1], trained_at: 0, last_at: 1}]->(p)
            """,
            customers=BUYER_SAMPLE_SIZE * 3,
        )
        graph("MATCH (p:Product) SET p.buyers = $customers", customers=BUYER_SAMPLE_SIZE * 3)
        place(store, "alice", BALL)
        (first,), (second,) = (store.load_candidates("alice", 1).co_purchases for _ in range(2))
        assert first == second
        assert BUYER_SAMPLE_SIZE - 5 <= first.shared_buyers <= BUYER_SAMPLE_SIZE + 5
        buyers = BUYER_SAMPLE_SIZE * 3
        assert first.strength == pytest.approx(buyers / (buyers + 1) ** 0.5, rel=0.03)

    def test_concurrent_changes_of_one_customer_are_all_applied(self, store):
        store.upsert_products([BALL, ROPE, DISC], NOW)
        calls = [
            partial(place, store, "alice", BALL, ROPE, order_id=f"order-{n}") for n in range(40)
        ]
        calls += [partial(cancel, store, "alice", f"order-{n}") for n in range(0, 40, 4)]
        calls += [partial(store.train, "alice", ["id-ball", "id-disc"], NOW)] * 5
        random.Random(1).shuffle(calls)
        with ThreadPoolExecutor(8) as workers:
            for outcome in [workers.submit(retry, call) for call in calls]:
                outcome.result()
        counts = {title: count for title, count, _ in purchases(store, "alice")}
        assert counts == {"Ball": 31, "Rope": 30, "Disc": 1}

    def test_concurrent_changes_create_customers_and_products_once(self, store, graph):
        products = [build_product(f"p{n}") for n in range(5)]
        calls = [partial(place, store, f"customer-{n % 4}", *products) for n in range(40)]
        with ThreadPoolExecutor(8) as workers:
            for outcome in [workers.submit(retry, call) for call in calls]:
                outcome.result()
        (row,) = graph("MATCH (c:Client) RETURN count(c) AS n")
        assert row["n"] == 4
        (row,) = graph("MATCH (p:Product) RETURN count(p) AS n")
        assert row["n"] == 5
        (row,) = graph("MATCH (:Client)-[b:BOUGHT]->(:Product) RETURN count(b) AS n")
        assert row["n"] == 20
        assert {count for n in range(4) for _, count, _ in purchases(store, f"customer-{n}")} == {
            10
        }

    def test_concurrent_deliveries_of_an_event_have_one_effect(self, store):
        with ThreadPoolExecutor(8) as workers:
            outcomes = [
                workers.submit(retry, partial(place, store, "alice", BALL, event_id="event-1"))
                for _ in range(16)
            ]
            assert sum(outcome.result() for outcome in outcomes) == 1
        assert purchases(store, "alice") == [("Ball", 1, NOW)]

    def test_migrating_again_changes_nothing(self, store):
        store.migrate()
        store.ping()

    def test_the_demo_customers_can_be_seeded_again(self, store, graph):
        edges = "MATCH ()-[b:BOUGHT]->() RETURN count(b) AS n"
        demo.seed(store)
        (before,) = graph(edges)
        demo.seed(store)
        assert graph(edges) == [before]
        assert len(recommend(store.load_candidates("new-customer", 5), 5, NOW)) == 5


def retry(call):
    """Retry a call while the graph is unavailable, as a consumer does."""
    while True:
        try:
            return call()
        except StoreUnavailableError:
            continue


@pytest.mark.integration
@pytest.mark.parametrize("listening", [False, True], ids=["closed", "silent"])
def test_a_closed_or_silent_store_is_unavailable_within_seconds(listening):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        driver, database = connect(f"bolt://a:b@127.0.0.1:{server.getsockname()[1]}/shop")
        with driver:
            repository = BoltRecommendationsRepository(driver, database)
            for call in (repository.ping, partial(repository.load_candidates, "alice", 5)):
                with pytest.raises(StoreUnavailableError):
                    call()


@pytest.mark.parametrize(
    ("url", "database"),
    [("bolt://root:p%40ss@localhost:7687/shop", "shop"), ("neo4j+s://a:b@db/neo4j", "neo4j")],
)
def test_the_url_has_the_name_of_the_database(url, database):
    driver, name = connect(url)
    with driver:
        assert name == database
