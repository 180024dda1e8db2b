"""What the recommendations know: who bought what, and what that makes us recommend.

What a client may like is looked for in this order, and each step fills what is left:

    due            consumables of theirs that will be used up by now
    companions     what those bought who chose the same, corrected for popularity
    animal         what is popular with clients who have the same animal
    categories     what is popular in the categories that they buy
    popular        what is popular with everybody

Nothing that a client has bought is recommended to them, unless it is a consumable and due.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from services.common.errors import InvalidArgumentError

BASIS = 20
"""How many of a client's purchases, the newest, companions are looked for of."""
SAMPLE = 200
"""About how many clients are asked, for each of these, what else they bought."""
DUE_AFTER = timedelta(weeks=4)
DUE_UNTIL = timedelta(weeks=26)
DUE_SHARE = 0.4
"""How much of an answer, at most, is what the client knows already."""
DOUBT = 2.0
"""How many clients who bought both it takes to believe it by half."""

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
"""Animals that French speakers write, as the graph calls them."""


class ProductUnknownError(InvalidArgumentError):
    """The graph does not know products that a call names."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, names: Iterable[str]) -> None:
        listed = ", ".join(sorted(names))
        super().__init__(
            f"Nobody has bought {listed} yet; only products that were bought can be trained.",
            products=listed,
        )


@dataclass(frozen=True)
class Product:
    """What the graph knows of a product."""

    product_id: str
    sku: str
    title: str
    category: str


@dataclass(frozen=True, kw_only=True)
class ClientTold:
    """An account was created or changed, at `as_of`."""

    user_id: str
    animal_type: str
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    """An order was confirmed at `as_of`; its products are different ones."""

    order_id: str
    user_id: str
    products: Sequence[Product]
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class OrderUndone:
    """An order was given up, be it confirmed before or not."""

    order_id: str
    user_id: str


Change = ClientTold | OrderPlaced | OrderUndone


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A product that a client bought `count` times; `buyers` is how many clients did."""

    product: Product
    count: int
    last_at: datetime
    buyers: int


@dataclass(frozen=True, kw_only=True)
class History:
    """What is known of a client: the animal ("" when not told), purchases newest first."""

    user_id: str
    animal_type: str = ""
    purchases: Sequence[Purchase] = ()

    @property
    def basis(self) -> Sequence[Purchase]:
        """Return the purchases that companions are looked for of."""
        return self.purchases[:BASIS]

    @property
    def bought(self) -> frozenset[str]:
        """Return the ids of what was bought."""
        return frozenset(purchase.product.product_id for purchase in self.purchases)

    @property
    def categories(self) -> Sequence[str]:
        """Return the categories of what was bought, in the order of their names."""
        return sorted({purchase.product.category for purchase in self.purchases} - {""})


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A product that clients bought who share purchases with one.

    `strength` is the sum, over the client's purchases, of how many bought both, divided by
    the root of how many bought the purchase; `because` is the id of the purchase that gave
    most of it.
    """

    product: Product
    strength: float
    because: str
    together: int
    buyers: int


@dataclass(frozen=True)
class Popular:
    """A product, and how many clients bought it among those that were asked."""

    product: Product
    buyers: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is known about what a client may like; all but the history unordered."""

    history: History
    companions: Sequence[Companion] = ()
    with_animal: Sequence[Popular] = ()
    in_categories: Sequence[Popular] = ()
    overall: Sequence[Popular] = ()


@dataclass(frozen=True)
class Recommendation:
    """A product, why, and how sure we are: above 0, at most 1."""

    product: Product
    reason: str
    score: float


def normalize_animal(text: str) -> str:
    """Return an animal as the graph calls it: in English, lower case."""
    animal = " ".join(text.lower().split())
    return ANIMALS.get(animal, animal)


def is_consumable(product: Product) -> bool:
    """Return whether a product is used up: food, treats, litter, by its category or its title."""
    return bool(CONSUMABLE.search(product.category) or CONSUMABLE.search(product.title))


def recommend(evidence: Evidence, limit: int, now: datetime) -> Sequence[Recommendation]:
    """Return at most `limit` recommendations, best first, each product once."""
    due = islice(_due(evidence.history, now), max(1, int(limit * DUE_SHARE)))
    new = (
        recommendation
        for recommendation in _new(evidence)
        if recommendation.product.product_id not in evidence.history.bought
    )
    chosen: dict[str, Recommendation] = {}
    for recommendation in (*due, *new):
        if recommendation.product.title:
            chosen.setdefault(recommendation.product.product_id, recommendation)
    return list(chosen.values())[:limit]


def _new(evidence: Evidence) -> Iterator[Recommendation]:
    """Yield what the client may not know yet, best first; a product may come more than once."""
    yield from _companions(evidence)
    animal = evidence.history.animal_type
    yield from _popular(evidence.with_animal, f"Popular with {animal} owners.", 0.35, 0.5)
    for popular in _popular(evidence.in_categories, "", 0.2, 0.35):
        category = popular.product.category.replace("-", " ")
        yield Recommendation(popular.product, f"A favourite in {category}.", popular.score)
    yield from _popular(evidence.overall, "Popular with all our clients.", 0.0, 0.2)


def _due(history: History, now: datetime) -> Iterator[Recommendation]:
    """Yield consumables that are used up by now, those that are bought most often first."""
    due = [
        purchase
        for purchase in history.purchases
        if is_consumable(purchase.product) and DUE_AFTER < now - purchase.last_at <= DUE_UNTIL
    ]
    for purchase in sorted(due, key=lambda p: (-p.count, p.product.product_id)):
        share = purchase.count / (purchase.count + 1)
        reason = f"You may be running low on {purchase.product.title}."
        yield Recommendation(purchase.product, reason, _between(0.9, 1.0, share))


def _companions(evidence: Evidence) -> Iterator[Recommendation]:
    """Yield companions, the closest first."""
    titles = {p.product.product_id: p.product.title for p in evidence.history.purchases}
    basis = max(1, len(evidence.history.basis))
    scored = [(_closeness(companion) / basis, companion) for companion in evidence.companions]
    for closeness, companion in sorted(scored, key=lambda s: (-s[0], s[1].product.product_id)):
        chosen = titles.get(companion.because) or "the same as you"
        reason = f"Bought by clients who also chose {chosen}."
        yield Recommendation(companion.product, reason, _between(0.5, 0.9, closeness))


def _closeness(companion: Companion) -> float:
    """Return the cosines of a product with all the client's purchases, less some doubt.

    The root of its buyers takes out that popular products are bought with everything; few
    who bought both may be chance.
    """
    cosines = companion.strength / math.sqrt(max(1, companion.buyers))
    return round(cosines * companion.together / (companion.together + DOUBT), 9)


def _popular(
    found: Sequence[Popular], reason: str, low: float, high: float
) -> Iterator[Recommendation]:
    """Yield what most bought first, scored between two bounds."""
    most = max((popular.buyers for popular in found), default=0)
    for popular in sorted(found, key=lambda p: (-p.buyers, p.product.product_id)):
        yield Recommendation(
            popular.product, reason, _between(low, high, popular.buyers / (most + 1))
        )


def _between(low: float, high: float, share: float) -> float:
    """Return a score above `low` and at most `high`, for a share from above 0 to 1."""
    return round(low + (high - low) * min(1.0, max(1e-6, share)), 9)
