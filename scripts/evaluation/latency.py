"""Measures the latency of recommendations in a shop of a given size."""

import time
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from scripts.evaluation.synthetic import BEGIN, History, Order
from services.recommendations.domain import Product, recommend
from services.recommendations.repository import RecommendationsRepository

WARM_UP_CALLS, CALLS = 50, 500
ANIMALS = ("dog", "cat", "rabbit")
LIMIT = 5


def generate_large_history(
    customers: int, products: int, max_purchases: int, seed: int = 1
) -> History:
    """Generate a shop where some products have thousands of buyers and many have few."""
    random = Random(seed)  # noqa: S311 - no secret
    product_ids = [f"product-{n:04}" for n in range(products)]
    cumulative = list(accumulate((n + 1) ** -0.8 for n in range(products)))
    user_ids = [f"customer-{n:05}" for n in range(customers)]
    orders = [
        Order(
            f"order-{user_id}",
            user_id,
            BEGIN,
            sorted(
                set(
                    random.choices(
                        product_ids, cum_weights=cumulative, k=random.randint(1, max_purchases)
                    )
                )
            ),
        )
        for user_id in user_ids
    ]
    catalog = [Product(each, each, each, f"category-{n % 8}") for n, each in enumerate(product_ids)]
    animals = {user_id: random.choice(ANIMALS) for user_id in user_ids}
    return History("large", catalog, orders, animals)


def measure(
    repository: RecommendationsRepository, user_ids: Sequence[str], calls: int = CALLS
) -> Sequence[float]:
    """Return the durations of calls in milliseconds, sorted, without the warm-up."""
    random = Random(1)  # noqa: S311 - no secret
    durations = []
    for _ in range(WARM_UP_CALLS + calls):
        user_id = random.choice(user_ids)
        began = time.perf_counter()
        recommend(repository.load_candidates(user_id, LIMIT), LIMIT, BEGIN)
        durations.append((time.perf_counter() - began) * 1000)
    return sorted(durations[WARM_UP_CALLS:])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of sorted values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
