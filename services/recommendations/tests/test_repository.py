"""The promises of a recommendations repository, kept by the fake and by a real graph."""

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
    SAMPLE,
    ClientTold,
    OrderPlaced,
    OrderUndone,
    ProductUnknownError,
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


def tell(repository, user_id, animal, as_of=NOW):
    change = ClientTold(user_id=user_id, animal_type=animal, as_of=as_of)
    return repository.apply(new_id(), change)


def place(repository, user_id, *products, order_id="", as_of=NOW, event_id=""):
    order = OrderPlaced(
        order_id=order_id or new_id(), user_id=user_id, products=products, as_of=as_of
    )
    return repository.apply(event_id or new_id(), order)


def undo(repository, user_id, order_id):
    return repository.apply(new_id(), OrderUndone(order_id=order_id, user_id=user_id))


def purchases(repository, user_id):
    found = repository.gather(user_id, 5).history.purchases
    return [(each.product.title, each.count, each.last_at) for each in found]


def companions(repository, user_id):
    found = repository.gather(user_id, 5).companions
    return {
        each.product.title: (round(each.strength, 6), each.together, each.buyers, each.because)
        for each in found
    }


def popular(found):
    return {each.product.title: each.buyers for each in found}


def test_of_an_unknown_client_nothing_is_known(repository):
    history = repository.gather("alice", 5).history
    assert (history.user_id, history.animal_type, history.purchases) == ("alice", "", [])


def test_the_newest_word_about_a_client_counts(repository):
    tell(repository, "alice", "dog", NOW)
    tell(repository, "alice", "cat", NOW + DAY)
    tell(repository, "alice", "bird", NOW - DAY)
    assert repository.gather("alice", 5).history.animal_type == "cat"


def test_the_newest_word_about_a_product_counts(repository):
    newer = replace(BALL, title="Balle", category="new")
    place(repository, "alice", newer, as_of=NOW)
    place(repository, "alice", BALL, as_of=NOW - DAY)
    (purchase,) = repository.gather("alice", 5).history.purchases
    assert (purchase.product, purchase.count) == (newer, 2)


def test_purchases_are_counted_and_come_newest_first(repository):
    place(repository, "alice", BALL, ROPE, as_of=NOW)
    place(repository, "alice", ROPE, as_of=NOW + DAY)
    place(repository, "bob", ROPE)
    assert purchases(repository, "alice") == [("Rope", 2, NOW + DAY), ("Ball", 1, NOW)]
    buyers = [each.buyers for each in repository.gather("alice", 5).history.purchases]
    assert buyers == [2, 1]


def test_an_event_has_one_effect(repository):
    assert place(repository, "alice", BALL, event_id="event-1")
    assert not place(repository, "alice", BALL, event_id="event-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_an_order_counts_once_whatever_tells_of_it(repository):
    for _ in range(2):
        place(repository, "alice", BALL, order_id="order-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_a_cancelled_order_is_taken_out_and_nothing_else(repository):
    place(repository, "alice", BALL, ROPE, order_id="order-1", as_of=NOW)
    place(repository, "alice", ROPE, order_id="order-2", as_of=NOW - DAY)
    place(repository, "bob", BALL)
    undo(repository, "alice", "order-1")
    assert purchases(repository, "alice") == [("Rope", 1, NOW - DAY)]
    assert purchases(repository, "bob") == [("Ball", 1, NOW)]


def test_cancelling_twice_or_what_was_never_confirmed_changes_nothing(repository):
    place(repository, "alice", BALL, order_id="order-1")
    for order_id in ("order-2", "order-2", "order-3"):
        undo(repository, "alice", order_id)
    assert purchases(repository, "alice") == [("Ball", 1, NOW)]


def test_an_order_that_was_cancelled_does_not_come_back(repository):
    undo(repository, "alice", "order-1")
    place(repository, "alice", BALL, order_id="order-1")
    assert purchases(repository, "alice") == []


def test_training_adds_what_is_known_by_id_or_sku_and_counts_what_is_new(repository):
    repository.name([BALL, ROPE, DISC], NOW)
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
    repository.name([BALL], NOW)
    with pytest.raises(ProductUnknownError):
        repository.train("alice", ["sku-ball", "other"], NOW)
    assert purchases(repository, "alice") == []


def test_a_trained_purchase_outlives_the_order_of_the_same(repository):
    place(repository, "alice", BALL, order_id="order-1", as_of=NOW)
    assert repository.train("alice", ["id-ball"], NOW - DAY) == 0
    undo(repository, "alice", "order-1")
    assert purchases(repository, "alice") == [("Ball", 1, NOW - DAY)]


def test_companions_are_what_those_bought_who_share_a_purchase(repository):
    place(repository, "alice", BALL, KIBBLE)
    place(repository, "bob", BALL, ROPE)
    place(repository, "carol", BALL, KIBBLE, ROPE, DISC)
    place(repository, "dave", build_product("lead"), DISC)
    assert companions(repository, "alice") == {
        "Rope": (round(2 / 3**0.5 + 1 / 2**0.5, 6), 3, 2, "id-ball"),
        "Disc": (round(1 / 3**0.5 + 1 / 2**0.5, 6), 2, 2, "id-croquettes"),
    }


def test_what_has_no_title_is_no_companion_and_not_popular(repository):
    place(repository, "alice", BALL)
    place(repository, "bob", BALL, replace(ROPE, title=""))
    evidence = repository.gather("alice", 5)
    assert (list(evidence.companions), list(evidence.overall)) == ([], [])


def test_what_is_popular_is_counted_for_the_animal_the_categories_and_all(repository):
    for user_id, animal in (("alice", "dog"), ("bob", "dog"), ("carol", "cat")):
        tell(repository, user_id, animal)
    place(repository, "alice", KIBBLE)
    place(repository, "bob", ROPE, build_product("stew", "dog-food"))
    place(repository, "carol", ROPE, DISC)
    evidence = repository.gather("alice", 5)
    assert popular(evidence.with_animal) == {"Rope": 1, "Stew": 1}
    assert popular(evidence.in_categories) == {"Stew": 1}
    assert popular(evidence.overall) == {"Rope": 2, "Stew": 1, "Disc": 1}


def test_without_an_animal_nothing_is_popular_with_it(repository):
    place(repository, "bob", ROPE)
    assert list(repository.gather("alice", 5).with_animal) == []


def test_clearing_keeps_what_was_trained_and_nothing_else(repository):
    repository.name([BALL, ROPE], NOW)
    repository.train("alice", ["id-ball"], NOW - DAY)
    place(repository, "alice", BALL, ROPE, order_id="order-1", event_id="event-1")
    undo(repository, "alice", "order-2")
    repository.clear()
    assert purchases(repository, "alice") == [("Ball", 1, NOW - DAY)]
    assert place(repository, "alice", BALL, order_id="order-1", event_id="event-1")
    assert place(repository, "alice", ROPE, order_id="order-2")
    assert purchases(repository, "alice") == [("Ball", 2, NOW), ("Rope", 1, NOW)]


def test_clearing_an_empty_graph_is_fine(repository):
    repository.clear()
    repository.ping()


def test_the_order_in_which_events_come_does_not_matter(repository):
    changes = [
        ("1", OrderPlaced(order_id="a", user_id="alice", products=[BALL, ROPE], as_of=NOW)),
        ("2", OrderPlaced(order_id="b", user_id="alice", products=[BALL], as_of=NOW + DAY)),
        ("3", OrderUndone(order_id="a", user_id="alice")),
        ("4", ClientTold(user_id="alice", animal_type="cat", as_of=NOW)),
    ]
    for order in itertools.permutations(changes):
        repository.clear()
        for event_id, change in order:
            repository.apply(event_id, change)
        assert purchases(repository, "alice") == [("Ball", 1, NOW + DAY)]
        assert repository.gather("alice", 5).history.animal_type == "cat"


@pytest.mark.integration
class TestOnARealGraph:
    """What only a real graph can break."""

    def test_it_recommends_what_the_fake_does(self, store):
        fake, chance = InMemoryRecommendationsRepository(), random.Random(4)
        products = [build_product(f"p{n:02}", f"category-{n % 4}") for n in range(30)]
        for number in range(60):
            user_id = f"client-{number % 25}"
            order = OrderPlaced(
                order_id=f"order-{number}",
                user_id=user_id,
                products=chance.sample(products, chance.randint(1, 6)),
                as_of=NOW + number * DAY,
            )
            told = ClientTold(user_id=user_id, animal_type=chance.choice("abc"), as_of=NOW)
            for each in (fake, store):
                each.apply(f"told-{user_id}", told)
                each.apply(f"event-{number}", order)
        for number in range(26):
            for limit in (1, 5, 50):
                expected, found = (
                    recommend(each.gather(f"client-{number}", limit), limit, NOW + 60 * DAY)
                    for each in (fake, store)
                )
                assert [(f.product, f.score) for f in found] == [
                    (e.product, e.score) for e in expected
                ]

    def test_of_a_popular_product_a_sample_of_buyers_is_asked_the_same_each_time(
        self, store, graph
    ):
        store.name([BALL, ROPE], NOW)
        graph(
            """
            UNWIND range(0, $clients - 1) AS n
            CREATE (c:Client {user_id: 'c' + toString(n), bucket: n * 10000 / $clients})
            WITH c MATCH (p:Product)
            CREATE (c)-[:BOUGHT {orders: ['o'], times: [1], trained_at: 0, last_at: 1}]->(p)
            """,
            clients=SAMPLE * 3,
        )
        place(store, "alice", BALL)
        (first,), (second,) = (store.gather("alice", 1).companions for _ in range(2))
        assert first == second
        assert SAMPLE - 5 <= first.together <= SAMPLE + 5
        everybody = SAMPLE * 3
        assert first.strength == pytest.approx(everybody / (everybody + 1) ** 0.5, rel=0.03)

    def test_changes_of_one_client_from_all_sides_are_all_kept(self, store):
        store.name([BALL, ROPE, DISC], NOW)
        calls = [
            partial(place, store, "alice", BALL, ROPE, order_id=f"order-{n}") for n in range(40)
        ]
        calls += [partial(undo, store, "alice", f"order-{n}") for n in range(0, 40, 4)]
        calls += [partial(store.train, "alice", ["id-ball", "id-disc"], NOW)] * 5
        random.Random(1).shuffle(calls)
        with ThreadPoolExecutor(8) as workers:
            for outcome in [workers.submit(until_done, call) for call in calls]:
                outcome.result()
        counts = {title: count for title, count, _ in purchases(store, "alice")}
        assert counts == {"Ball": 31, "Rope": 30, "Disc": 1}

    def test_new_clients_and_products_are_made_once_by_many_at_once(self, store, graph):
        products = [build_product(f"p{n}") for n in range(5)]
        calls = [partial(place, store, f"client-{n % 4}", *products) for n in range(40)]
        with ThreadPoolExecutor(8) as workers:
            for outcome in [workers.submit(until_done, call) for call in calls]:
                outcome.result()
        (row,) = graph("MATCH (c:Client) RETURN count(c) AS n")
        assert row["n"] == 4
        (row,) = graph("MATCH (p:Product) RETURN count(p) AS n")
        assert row["n"] == 5
        (row,) = graph("MATCH (:Client)-[b:BOUGHT]->(:Product) RETURN count(b) AS n")
        assert row["n"] == 20
        assert {count for n in range(4) for _, count, _ in purchases(store, f"client-{n}")} == {10}

    def test_one_event_told_to_many_at_once_has_one_effect(self, store):
        with ThreadPoolExecutor(8) as workers:
            outcomes = [
                workers.submit(until_done, partial(place, store, "alice", BALL, event_id="event-1"))
                for _ in range(16)
            ]
            assert sum(outcome.result() for outcome in outcomes) == 1
        assert purchases(store, "alice") == [("Ball", 1, NOW)]

    def test_migrating_again_changes_nothing(self, store):
        store.migrate()
        store.ping()

    def test_the_demo_clients_can_be_seeded_and_seeded_again(self, store, graph):
        edges = "MATCH ()-[b:BOUGHT]->() RETURN count(b) AS n"
        demo.seed(store)
        (before,) = graph(edges)
        demo.seed(store)
        assert graph(edges) == [before]
        assert len(recommend(store.gather("anybody", 5), 5, NOW)) == 5


def until_done(call):
    """Make a call, as a consumer does: again while the graph is busy."""
    while True:
        try:
            return call()
        except StoreUnavailableError:
            continue


@pytest.mark.integration
@pytest.mark.parametrize("listening", [False, True], ids=["nobody", "somebody-silent"])
def test_a_store_that_is_away_or_says_nothing_is_unavailable_within_seconds(listening):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        driver, database = connect(f"bolt://a:b@127.0.0.1:{server.getsockname()[1]}/shop")
        with driver:
            repository = BoltRecommendationsRepository(driver, database)
            for call in (repository.ping, partial(repository.gather, "alice", 5)):
                with pytest.raises(StoreUnavailableError):
                    call()


@pytest.mark.parametrize(
    ("url", "database"),
    [("bolt://root:p%40ss@localhost:7687/shop", "shop"), ("neo4j+s://a:b@db/neo4j", "neo4j")],
)
def test_the_database_is_named_by_the_url(url, database):
    driver, name = connect(url)
    with driver:
        assert name == database
