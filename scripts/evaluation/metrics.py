"""The hit rate of the recommendations, beside two baselines.

For each customer, the last order with a new product is held out, and with it all later orders;
the graph is trained with the rest. A recommendation is a hit when one of its five products is
among the new ones of the held-out order.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from scripts.evaluation.synthetic import History, Order
from services.recommendations.domain import recommend
from services.recommendations.repository import RecommendationsRepository

LIMIT = 5
RESAMPLES = 2_000


@dataclass(frozen=True)
class Case:
    """A held-out order: its customer, the products bought before and the new ones."""

    user_id: str
    at: datetime
    bought: frozenset[str]
    new: frozenset[str]


@dataclass(frozen=True)
class Split:
    """The training set and the held-out cases."""

    training: Sequence[Order]
    cases: Sequence[Case]


Recommender = Callable[[Case], Sequence[str]]
"""Returns the product ids that it recommends for a case."""


def split(history: History) -> Split:
    """Hold out the last order of each customer that has a new product."""
    training: list[Order] = []
    cases: list[Case] = []
    for user_id, orders in sorted(_by_customer(history.orders).items()):
        last = _last_with_new_product(orders)
        before = orders if last is None else orders[:last]
        training += before
        if last is not None:
            bought = _product_ids(before)
            new = frozenset(orders[last].product_ids) - bought
            cases.append(Case(user_id, orders[last].at, bought, new))
    return Split(training, cases)


def graph_recommender(repository: RecommendationsRepository) -> Recommender:
    """Build the recommender of the service."""

    def recommend_for(case: Case) -> Sequence[str]:
        found = recommend(repository.load_candidates(case.user_id, LIMIT), LIMIT, case.at)
        return [each.product.product_id for each in found]

    return recommend_for


def popularity_recommender(training: Sequence[Order]) -> Recommender:
    """Build the baseline that recommends the products with most buyers."""
    buyers = Counter(
        product_id
        for orders in _by_customer(training).values()
        for product_id in _product_ids(orders)
    )
    ranked = sorted(buyers, key=lambda product_id: (-buyers[product_id], product_id))
    return lambda case: [each for each in ranked if each not in case.bought][:LIMIT]


def random_recommender(history: History, seed: int = 1) -> Recommender:
    """Build the baseline that recommends random products."""
    random = Random(seed)  # noqa: S311 - no secret
    product_ids = [product.product_id for product in history.products]
    return lambda case: random.sample(
        [each for each in product_ids if each not in case.bought], LIMIT
    )


def hits(recommender: Recommender, cases: Sequence[Case]) -> Sequence[int]:
    """Return 1 for each case with a hit, else 0."""
    return [int(not case.new.isdisjoint(recommender(case))) for case in cases]


def confidence_interval(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean, by bootstrap."""
    random = Random(seed)  # noqa: S311 - no secret
    count = len(values)
    means = sorted(sum(random.choices(values, k=count)) / count for _ in range(RESAMPLES))
    return means[int(RESAMPLES * 0.025)], means[int(RESAMPLES * 0.975)]


def _by_customer(orders: Sequence[Order]) -> Mapping[str, Sequence[Order]]:
    """Group orders by customer, oldest first."""
    found: dict[str, list[Order]] = {}
    for order in sorted(orders, key=lambda order: (order.at, order.order_id)):
        found.setdefault(order.user_id, []).append(order)
    return found


def _last_with_new_product(orders: Sequence[Order]) -> int | None:
    """Return the index of the last order with a new product, other than the first order."""
    return next(
        (
            number
            for number in range(len(orders) - 1, 0, -1)
            if not _product_ids(orders[:number]).issuperset(orders[number].product_ids)
        ),
        None,
    )


def _product_ids(orders: Sequence[Order]) -> frozenset[str]:
    return frozenset(product_id for order in orders for product_id in order.product_ids)
