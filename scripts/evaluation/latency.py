"""How long one recommendation takes in a large shop: 10,000 clients, 1,000 products."""

import time
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from scripts.evaluation.baskets import BEGIN, History, Order
from services.recommendations.domain import Product, recommend
from services.recommendations.repository import RecommendationsRepository

CLIENTS, PRODUCTS = 10_000, 1_000
WARM_UP, CALLS = 50, 500
ANIMALS = ("dog", "cat", "rabbit")
SHOWN = 5


def make_large_history(seed: int = 1) -> History:
    """Return a shop where some products are bought by thousands and many by few."""
    chance = Random(seed)  # noqa: S311 - no secret
    names = [f"product-{n:04}" for n in range(PRODUCTS)]
    bounds = list(accumulate((n + 1) ** -0.8 for n in range(PRODUCTS)))
    clients = [f"client-{n:05}" for n in range(CLIENTS)]
    orders = [
        Order(
            f"order-{client}",
            client,
            BEGIN,
            sorted(set(chance.choices(names, cum_weights=bounds, k=chance.randint(1, 20)))),
        )
        for client in clients
    ]
    products = [Product(name, name, name, f"category-{n % 8}") for n, name in enumerate(names)]
    animals = {client: chance.choice(ANIMALS) for client in clients}
    return History("large", products, orders, animals)


def measure(
    repository: RecommendationsRepository, user_ids: Sequence[str], calls: int = CALLS
) -> Sequence[float]:
    """Return how many milliseconds each of many calls took, sorted; the first are left out."""
    chance = Random(1)  # noqa: S311 - no secret
    durations = []
    for _ in range(WARM_UP + calls):
        user_id = chance.choice(user_ids)
        began = time.perf_counter()
        recommend(repository.gather(user_id, SHOWN), SHOWN, BEGIN)
        durations.append((time.perf_counter() - began) * 1000)
    return sorted(durations[WARM_UP:])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of sorted values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
