"""What is recommended is bought more often than what is popular, and than chance."""

import pytest

from scripts.evaluation import latency, measuring
from scripts.evaluation.baskets import BEGIN, History, Order, make_history
from scripts.evaluation.loading import empty, load
from services.recommendations.domain import ClientTold, OrderPlaced
from services.recommendations.tests.fakes import InMemoryRecommendationsRepository

HISTORY = make_history(clients=300)
BY_ID = {product.product_id: product for product in HISTORY.products}


def tell(repository, history, orders):
    """Tell a repository of a past as events do."""
    for user_id, animal in history.animals.items():
        told = ClientTold(user_id=user_id, animal_type=animal, as_of=BEGIN)
        repository.apply(f"told-{user_id}", told)
    for order in orders:
        placed = OrderPlaced(
            order_id=order.order_id,
            user_id=order.user_id,
            products=[BY_ID[name] for name in order.product_ids],
            as_of=order.at,
        )
        repository.apply(f"placed-{order.order_id}", placed)


def test_orders_are_the_same_each_time():
    assert make_history(clients=20) == make_history(clients=20)
    assert make_history(clients=20) != make_history(clients=20, seed=2)


def test_nothing_that_is_held_out_is_trained_with():
    held_out = measuring.split(HISTORY)
    trained: dict[str, set[str]] = {order.user_id: set() for order in HISTORY.orders}
    for order in held_out.training:
        trained[order.user_id].update(order.product_ids)
    assert len(held_out.cases) > 290
    for case in held_out.cases:
        assert case.bought == trained[case.user_id]
        assert case.new and not case.new & case.bought


def test_the_order_that_is_held_out_is_the_last_with_something_new():
    orders = [
        Order(str(number), "alice", BEGIN.replace(month=number), names)
        for number, names in enumerate((["a"], ["a", "b"], ["b"], ["a"]), 1)
    ]
    held_out = measuring.split(History("x", [], orders))
    assert list(held_out.training) == orders[:1]
    assert [(case.bought, case.new) for case in held_out.cases] == [({"a"}, {"b"})]


def test_an_interval_holds_the_mean():
    low, high = measuring.interval([0, 1] * 200)
    assert 0.4 < low < 0.5 < high < 0.6


def test_a_percentile_is_a_value_of_the_sample():
    values = [float(n) for n in range(100)]
    assert [latency.percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 99]


@pytest.mark.integration
class TestOnARealGraph:
    """The evaluation in small: 300 clients."""

    def test_ours_beats_popularity_and_chance_clearly(self, store, graph):
        held_out = measuring.split(HISTORY)
        load(graph, HISTORY, held_out.training)
        ours = measuring.hits(measuring.ours(store), held_out.cases)
        for rival in (measuring.popularity(held_out.training), measuring.anything(HISTORY)):
            theirs = measuring.hits(rival, held_out.cases)
            more = [mine - other for mine, other in zip(ours, theirs, strict=True)]
            assert measuring.interval(more)[0] > 0.1

    def test_what_is_loaded_at_once_is_what_events_would_have_told(self, store, graph):
        history = make_history(clients=12)
        fake = InMemoryRecommendationsRepository()
        tell(fake, history, history.orders)
        load(graph, history, history.orders)
        for case in measuring.split(history).cases:
            assert measuring.ours(store)(case) == measuring.ours(fake)(case)
        empty(graph)
        tell(store, history, history.orders)
        for case in measuring.split(history).cases:
            assert measuring.ours(store)(case) == measuring.ours(fake)(case)

    def test_durations_are_measured_and_sorted(self, store):
        took = latency.measure(store, ["nobody"], calls=20)
        assert len(took) == 20
        assert took == sorted(took)
