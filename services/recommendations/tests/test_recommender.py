"""Answers that are remembered, and those that are not."""

import pytest

from services.recommendations.domain import OrderPlaced
from services.recommendations.recommender import CACHE_SIZE, MAX_AGE_SECONDS, Recommender
from services.recommendations.tests.fakes import (
    NOW,
    InMemoryRecommendationsRepository,
    build_product,
)

BALL, ROPE, DISC = (build_product(name) for name in ("ball", "rope", "disc"))


class CountingRepository(InMemoryRecommendationsRepository):
    """Counts what it loads."""

    def __init__(self):
        super().__init__()
        self.loads = 0

    def load_candidates(self, user_id, limit):
        self.loads += 1
        return super().load_candidates(user_id, limit)

    def buy(self, user_id, *products):
        order_id = f"order-{user_id}-{len(self._events)}"
        order = OrderPlaced(order_id=order_id, user_id=user_id, products=products, as_of=NOW)
        self.apply(order_id, order)


@pytest.fixture
def repository():
    repository = CountingRepository()
    repository.buy("alice", BALL)
    repository.buy("bob", BALL, ROPE)
    return repository


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def recommender(repository, now):
    return Recommender(repository=repository, clock=lambda: NOW, monotonic=lambda: now[0])


def titles(recommender, user_id="alice", limit=1):
    return [each.product.title for each in recommender.recommend(user_id, limit)]


def test_an_answer_is_found_once(recommender, repository):
    assert [titles(recommender) for _ in range(3)] == [["Rope"]] * 3
    assert repository.loads == 1


def test_an_event_of_the_customer_makes_a_new_answer(recommender, repository):
    titles(recommender)
    repository.buy("carol", DISC)
    repository.buy("alice", ROPE)
    assert titles(recommender) == ["Disc"]


def test_an_answer_is_forgotten_after_a_while(recommender, repository, now):
    titles(recommender)
    now[0] += MAX_AGE_SECONDS + 1
    titles(recommender)
    assert repository.loads == 2


def test_an_answer_with_fewer_products_than_wanted_is_not_kept(recommender, repository):
    assert titles(recommender, limit=2) == ["Rope"]
    repository.buy("carol", DISC)
    assert titles(recommender, limit=2) == ["Rope", "Disc"]


def test_an_answer_is_of_one_customer_and_one_limit(recommender, repository):
    repository.buy("carol", DISC)
    assert titles(recommender, limit=1) == ["Rope"]
    assert titles(recommender, limit=2) == ["Rope", "Disc"]
    assert titles(recommender, "bob") == ["Disc"]


def test_a_customer_without_a_version_is_looked_up_each_time(recommender, repository):
    titles(recommender, "unknown")
    titles(recommender, "unknown")
    assert repository.loads == 2


def test_the_answers_asked_for_last_are_kept(recommender, repository, monkeypatch):
    monkeypatch.setattr("services.recommendations.recommender.CACHE_SIZE", 2)
    for user_id in ("carol", "dave"):
        repository.buy(user_id, BALL)
    for user_id in ("alice", "carol", "alice", "dave", "alice", "carol"):
        titles(recommender, user_id)
    assert repository.loads == 4
    assert CACHE_SIZE > 2
