"""The evaluation, and that the recommendations beat popularity and chance."""

import pytest

from scripts.evaluation import latency, metrics
from scripts.evaluation.loading import delete_all, load
from scripts.evaluation.synthetic import BEGIN, History, Order, generate_history
from services.recommendations.domain import CustomerChanged, OrderPlaced
from services.recommendations.tests.fakes import InMemoryRecommendationsRepository

HISTORY = generate_history(customers=300)
BY_ID = {product.product_id: product for product in HISTORY.products}


def apply_events(repository, history, orders):
    """Apply a history to a repository as events do."""
    for user_id, animal in history.animals.items():
        changed = CustomerChanged(user_id=user_id, animal_type=animal, as_of=BEGIN)
        repository.apply(f"changed-{user_id}", changed)
    for order in orders:
        placed = OrderPlaced(
            order_id=order.order_id,
            user_id=order.user_id,
            products=[BY_ID[name] for name in order.product_ids],
            as_of=order.at,
        )
        repository.apply(f"placed-{order.order_id}", placed)


def test_synthetic_orders_are_deterministic():
    assert generate_history(customers=20) == generate_history(customers=20)
    assert generate_history(customers=20) != generate_history(customers=20, seed=2)


def test_held_out_orders_are_not_in_the_training_set():
    held_out = metrics.split(HISTORY)
    trained: dict[str, set[str]] = {order.user_id: set() for order in HISTORY.orders}
    for order in held_out.training:
        trained[order.user_id].update(order.product_ids)
    assert len(held_out.cases) > 290
    for case in held_out.cases:
        assert case.bought == trained[case.user_id]
        assert case.new and not case.new & case.bought


def test_the_held_out_order_is_the_last_one_with_a_new_product():
    orders = [
        Order(str(number), "alice", BEGIN.replace(month=number), names)
        for number, names in enumerate((["a"], ["a", "b"], ["b"], ["a"]), 1)
    ]
    held_out = metrics.split(History("x", [], orders))
    assert list(held_out.training) == orders[:1]
    assert [(case.bought, case.new) for case in held_out.cases] == [({"a"}, {"b"})]


def test_a_confidence_interval_contains_the_mean():
    low, high = metrics.confidence_interval([0, 1] * 200)
    assert 0.4 < low < 0.5 < high < 0.6


def test_a_percentile_is_a_value_of_the_sample():
    values = [float(n) for n in range(100)]
    assert [latency.percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 99]


@pytest.mark.integration
class TestOnARealGraph:
    """The evaluation with 300 customers."""

    def test_the_graph_recommender_beats_popularity_and_chance(self, store, graph):
        held_out = metrics.split(HISTORY)
        load(graph, HISTORY, held_out.training)
        hits = metrics.hits(metrics.graph_recommender(store), held_out.cases)
        for baseline in (
            metrics.popularity_recommender(held_out.training),
            metrics.random_recommender(HISTORY),
        ):
            baseline_hits = metrics.hits(baseline, held_out.cases)
            lift = [ours - theirs for ours, theirs in zip(hits, baseline_hits, strict=True)]
            assert metrics.confidence_interval(lift)[0] > 0.1

    def test_a_bulk_load_equals_the_same_events(self, store, graph):
        history = generate_history(customers=12)
        fake = InMemoryRecommendationsRepository()
        apply_events(fake, history, history.orders)
        load(graph, history, history.orders)
        for case in metrics.split(history).cases:
            assert metrics.graph_recommender(store)(case) == metrics.graph_recommender(fake)(case)
        delete_all(graph)
        apply_events(store, history, history.orders)
        for case in metrics.split(history).cases:
            assert metrics.graph_recommender(store)(case) == metrics.graph_recommender(fake)(case)

    def test_durations_are_measured_and_sorted(self, store):
        took = latency.measure(store, ["new-customer"], calls=20)
        assert len(took) == 20
        assert took == sorted(took)
