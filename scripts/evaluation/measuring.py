"""How often what is recommended is what clients buy next, beside two simple recommenders.

Of each client who came back for something new, the last order with something new in it is
held out, and with it whatever they bought later; the graph is trained with the rest. A
recommender scores when one of its five products is among the new ones of that order.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from scripts.evaluation.baskets import History, Order
from services.recommendations.domain import recommend
from services.recommendations.repository import RecommendationsRepository

SHOWN = 5
RESAMPLES = 2_000


@dataclass(frozen=True)
class Case:
    """A client who came back at a time: what they had bought, and what was new to them."""

    user_id: str
    at: datetime
    bought: frozenset[str]
    new: frozenset[str]


@dataclass(frozen=True)
class Split:
    """The orders to train with, and what is held out."""

    training: Sequence[Order]
    cases: Sequence[Case]


Recommender = Callable[[Case], Sequence[str]]
"""Returns the ids of the products that it would show to a client."""


def split(history: History) -> Split:
    """Hold out the last order of each client that has something new in it."""
    training: list[Order] = []
    cases: list[Case] = []
    for user_id, orders in sorted(_by_client(history.orders).items()):
        last = _last_with_something_new(orders)
        before = orders if last is None else orders[:last]
        training += before
        if last is not None:
            bought = _products(before)
            new = frozenset(orders[last].product_ids) - bought
            cases.append(Case(user_id, orders[last].at, bought, new))
    return Split(training, cases)


def ours(repository: RecommendationsRepository) -> Recommender:
    """Return the shop's own recommender, on the graph."""

    def show(case: Case) -> Sequence[str]:
        found = recommend(repository.gather(case.user_id, SHOWN), SHOWN, case.at)
        return [each.product.product_id for each in found]

    return show


def popularity(training: Sequence[Order]) -> Recommender:
    """Return one that shows what most clients bought, and this one did not."""
    buyers = Counter(name for orders in _by_client(training).values() for name in _products(orders))
    ranked = sorted(buyers, key=lambda name: (-buyers[name], name))
    return lambda case: [name for name in ranked if name not in case.bought][:SHOWN]


def anything(history: History, seed: int = 1) -> Recommender:
    """Return one that shows any products that the client did not buy."""
    chance = Random(seed)  # noqa: S311 - no secret
    names = [product.product_id for product in history.products]
    return lambda case: chance.sample([n for n in names if n not in case.bought], SHOWN)


def hits(recommender: Recommender, cases: Sequence[Case]) -> Sequence[int]:
    """Return 1 for each client to whom something was shown that they bought next, else 0."""
    return [int(not case.new.isdisjoint(recommender(case))) for case in cases]


def interval(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """Return between which bounds the mean is, 95 times of 100 (bootstrap)."""
    chance = Random(seed)  # noqa: S311 - no secret
    count = len(values)
    means = sorted(sum(chance.choices(values, k=count)) / count for _ in range(RESAMPLES))
    return means[int(RESAMPLES * 0.025)], means[int(RESAMPLES * 0.975)]


def _by_client(orders: Sequence[Order]) -> Mapping[str, Sequence[Order]]:
    """Return the orders of each client, oldest first."""
    found: dict[str, list[Order]] = {}
    for order in sorted(orders, key=lambda order: (order.at, order.order_id)):
        found.setdefault(order.user_id, []).append(order)
    return found


def _last_with_something_new(orders: Sequence[Order]) -> int | None:
    """Return which order is the last with something new, the first one aside."""
    return next(
        (
            number
            for number in range(len(orders) - 1, 0, -1)
            if not _products(orders[:number]).issuperset(orders[number].product_ids)
        ),
        None,
    )


def _products(orders: Sequence[Order]) -> frozenset[str]:
    return frozenset(name for order in orders for name in order.product_ids)
