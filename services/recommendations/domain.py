"""Recommendations: the products that a customer may buy next.

Each step fills the places that the steps before it left:

    replenishment  the customer's consumables that should be used up by now
    co-purchases   what customers bought who share purchases, corrected for popularity
    animal         what is popular with customers who have the same animal
    categories     what is popular in the categories that the customer buys
    popular        what is popular with all customers

A product that the customer has bought is recommended only for replenishment.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from services.common.errors import InvalidArgumentError

MAX_RECENT_PURCHASES = 20
"""The newest purchases of a customer, whose co-purchases are candidates."""
BUYER_SAMPLE_SIZE = 200
"""About how many buyers of each recent purchase are sampled for co-purchases."""
REPLENISH_AFTER = timedelta(weeks=4)
REPLENISH_UNTIL = timedelta(weeks=26)
MAX_REPLENISHMENT_SHARE = 0.4
"""The share of an answer that replenishment may fill."""
SHRINKAGE = 2.0
"""The number of shared buyers that halves the similarity of two products."""

CONSUMABLE = re.compile(
    r"\b(foods?|treats|litter|bedding|pellets|mix|millet|flakes|hay(?! rack))\b", re.IGNORECASE
)
ANIMALS: Mapping[str, str] = {
    "chat": "cat",
    "chien": "dog",
    "cochon d'inde": "guinea pig",
    "lapin": "rabbit",
    "oiseau": "bird",
    "poisson": "fish",
}
"""French names of animals, in the English of the graph."""


class ProductNotFoundError(InvalidArgumentError):
    """Products to train are not in the graph."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, names: Iterable[str]) -> None:
        listed = ", ".join(sorted(names))
        super().__init__(
            f"Only products that were bought before can be trained; unknown: {listed}.",
            products=listed,
        )


@dataclass(frozen=True)
class Product:
    """A product, as the graph stores it."""

    product_id: str
    sku: str
    title: str
    category: str


@dataclass(frozen=True, kw_only=True)
class CustomerChanged:
    """An account was created or changed, at `as_of`.

    The highest `version` is the newest; among events of before versions, with 0, `as_of` decides.
    """

    user_id: str
    animal_type: str
    as_of: datetime
    version: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    """An order was confirmed at `as_of`; its products are distinct."""

    order_id: str
    user_id: str
    products: Sequence[Product]
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class OrderCancelled:
    """An order was cancelled, before or after it was confirmed."""

    order_id: str
    user_id: str


Change = CustomerChanged | OrderPlaced | OrderCancelled


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A product that a customer bought `count` times; `buyers` counts all its customers."""

    product: Product
    count: int
    last_at: datetime
    buyers: int


@dataclass(frozen=True, kw_only=True)
class History:
    """A customer's animal ("" when unknown) and purchases, newest first."""

    user_id: str
    animal_type: str = ""
    purchases: Sequence[Purchase] = ()

    @property
    def recent(self) -> Sequence[Purchase]:
        """Return the purchases whose co-purchases are candidates."""
        return self.purchases[:MAX_RECENT_PURCHASES]

    @property
    def product_ids(self) -> frozenset[str]:
        """Return the ids of the purchased products."""
        return frozenset(purchase.product.product_id for purchase in self.purchases)

    @property
    def categories(self) -> Sequence[str]:
        """Return the categories of the purchased products, sorted."""
        return sorted({purchase.product.category for purchase in self.purchases} - {""})


@dataclass(frozen=True, kw_only=True)
class CoPurchase:
    """A product bought by customers who share a recent purchase with the customer.

    `strength` is the sum, over the recent purchases, of the buyers of both divided by the root
    of the purchase's buyers; `source_id` is the product of the purchase that adds most to it.
    """

    product: Product
    strength: float
    source_id: str
    shared_buyers: int
    buyers: int


@dataclass(frozen=True)
class Popular:
    """A product, and the number of its buyers in a group of customers."""

    product: Product
    buyers: int


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """A customer's history and the candidates for recommendations, which are unordered."""

    history: History
    co_purchases: Sequence[CoPurchase] = ()
    with_animal: Sequence[Popular] = ()
    in_categories: Sequence[Popular] = ()
    overall: Sequence[Popular] = ()


@dataclass(frozen=True)
class Recommendation:
    """A product with its reason and a score, above 0 and at most 1."""

    product: Product
    reason: str
    score: float


def normalize_animal(text: str) -> str:
    """Return the English name of an animal, in lower case."""
    animal = " ".join(text.lower().split())
    return ANIMALS.get(animal, animal)


def is_consumable(product: Product) -> bool:
    """Return whether category or title say that a product is used up: food, treats, litter."""
    return bool(CONSUMABLE.search(product.category) or CONSUMABLE.search(product.title))


def recommend(candidates: Candidates, limit: int, now: datetime) -> Sequence[Recommendation]:
    """Return at most `limit` recommendations, best first, each product once."""
    max_replenishments = max(1, int(limit * MAX_REPLENISHMENT_SHARE))
    new = (
        recommendation
        for recommendation in _rank_new(candidates)
        if recommendation.product.product_id not in candidates.history.product_ids
    )
    chosen: dict[str, Recommendation] = {}
    for recommendation in (
        *islice(_rank_replenishments(candidates.history, now), max_replenishments),
        *new,
    ):
        if recommendation.product.title:
            chosen.setdefault(recommendation.product.product_id, recommendation)
    return list(chosen.values())[:limit]


def _rank_new(candidates: Candidates) -> Iterator[Recommendation]:
    """Yield products that the customer has not bought, best first, perhaps more than once."""
    yield from _rank_co_purchases(candidates)
    animal = candidates.history.animal_type
    yield from _rank_popular(candidates.with_animal, f"Popular with {animal} owners.", 0.35, 0.5)
    for popular in _rank_popular(candidates.in_categories, "", 0.2, 0.35):
        category = popular.product.category.replace("-", " ")
        yield Recommendation(popular.product, f"A favourite in {category}.", popular.score)
    yield from _rank_popular(candidates.overall, "Popular with all our customers.", 0.0, 0.2)


def _rank_replenishments(history: History, now: datetime) -> Iterator[Recommendation]:
    """Yield consumables that should be used up, those bought most often first."""
    due = [
        purchase
        for purchase in history.purchases
        if is_consumable(purchase.product)
        and REPLENISH_AFTER < now - purchase.last_at <= REPLENISH_UNTIL
    ]
    for purchase in sorted(due, key=lambda p: (-p.count, p.product.product_id)):
        share = purchase.count / (purchase.count + 1)
        reason = f"You may be running low on {purchase.product.title}."
        yield Recommendation(purchase.product, reason, _interpolate(0.9, 1.0, share))


def _rank_co_purchases(candidates: Candidates) -> Iterator[Recommendation]:
    """Yield co-purchases, the most similar first."""
    titles = {p.product.product_id: p.product.title for p in candidates.history.purchases}
    count = max(1, len(candidates.history.recent))
    scored = [(_similarity(candidate) / count, candidate) for candidate in candidates.co_purchases]
    for similarity, candidate in sorted(scored, key=lambda s: (-s[0], s[1].product.product_id)):
        source = titles.get(candidate.source_id) or "the same as you"
        reason = f"Bought by customers who also chose {source}."
        yield Recommendation(candidate.product, reason, _interpolate(0.5, 0.9, similarity))


def _similarity(candidate: CoPurchase) -> float:
    """Return the sum of a product's cosines with all recent purchases, shrunk.

    The cosine divides by the root of the buyers, because popular products are bought with
    everything; shrinkage lowers what few shared buyers may have bought by chance.
    """
    cosines = candidate.strength / math.sqrt(max(1, candidate.buyers))
    return round(cosines * candidate.shared_buyers / (candidate.shared_buyers + SHRINKAGE), 9)


def _rank_popular(
    found: Sequence[Popular], reason: str, low: float, high: float
) -> Iterator[Recommendation]:
    """Yield popular products, those with most buyers first, scored between two bounds."""
    most = max((popular.buyers for popular in found), default=0)
    for popular in sorted(found, key=lambda p: (-p.buyers, p.product.product_id)):
        score = _interpolate(low, high, popular.buyers / (most + 1))
        yield Recommendation(popular.product, reason, score)


def _interpolate(low: float, high: float, share: float) -> float:
    """Return a score above `low` and at most `high`, for a share from above 0 to 1."""
    return round(low + (high - low) * min(1.0, max(1e-6, share)), 9)
