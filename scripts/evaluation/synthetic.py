"""Synthetic orders with a known structure, generated deterministically.

Customers have an animal, one taste (a dozen products that belong together) and perhaps a
second one. Within a taste few products are popular. Some purchases are common to all animals,
and some are random.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

from services.recommendations.domain import Product

BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC)
ANIMALS = {"dog": 0.5, "cat": 0.4, "rabbit": 0.1}
TASTES_PER_ANIMAL = 4
PRODUCTS_PER_TASTE = 12
COMMON_PRODUCTS = 16
SECOND_TASTE_PROBABILITY = 0.3
COMMON_SHARE, RANDOM_SHARE = 0.15, 0.15
"""Shares of the purchases that are common to all animals, and random."""


@dataclass(frozen=True)
class Order:
    """One order of a customer."""

    order_id: str
    user_id: str
    at: datetime
    product_ids: Sequence[str]


@dataclass(frozen=True)
class History:
    """The products and orders of a shop, and the animals of customers, where known."""

    name: str
    products: Sequence[Product]
    orders: Sequence[Order]
    animals: Mapping[str, str] = field(default_factory=dict)


class ZipfSampler:
    """Samples products by Zipf's law: the n-th is chosen with a weight of 1/n."""

    def __init__(self, product_ids: Sequence[str]) -> None:
        self._ids = product_ids
        self._cumulative = list(accumulate(1 / n for n in range(1, len(product_ids) + 1)))

    def sample(self, random: Random) -> str:
        """Return a product id."""
        return random.choices(self._ids, cum_weights=self._cumulative)[0]


@dataclass(frozen=True)
class _Assortment:
    tastes: Mapping[str, Sequence[ZipfSampler]]
    common: ZipfSampler
    all: ZipfSampler


def generate_history(customers: int, seed: int = 1) -> History:
    """Generate the history of a shop with that many customers."""
    random = Random(seed)  # noqa: S311 - no secret
    product_ids, assortment = _generate_assortment(random)
    # The ids decide which customers a sample includes, and so the figures in docs/results.
    user_ids = [f"client-{n:05}" for n in range(customers)]
    animals = {
        user_id: random.choices(list(ANIMALS), list(ANIMALS.values()))[0] for user_id in user_ids
    }
    orders = [
        order
        for user_id in user_ids
        for order in _generate_orders(user_id, assortment, animals[user_id], random)
    ]
    products = [_product(product_id) for product_id in sorted(product_ids)]
    return History("synthetic", products, orders, animals)


def _generate_assortment(random: Random) -> tuple[Sequence[str], _Assortment]:
    tastes = {
        animal: [_product_ids(f"{animal}-{n}") for n in range(TASTES_PER_ANIMAL)]
        for animal in ANIMALS
    }
    common = _product_ids("common", COMMON_PRODUCTS)
    product_ids = [*common]
    for of_animal in tastes.values():
        for taste in of_animal:
            product_ids += taste
    random.shuffle(product_ids)
    return product_ids, _Assortment(
        tastes={animal: [ZipfSampler(each) for each in of] for animal, of in tastes.items()},
        common=ZipfSampler(common),
        all=ZipfSampler(product_ids),
    )


def _generate_orders(
    user_id: str, assortment: _Assortment, animal: str, random: Random
) -> Iterator[Order]:
    """Yield three to six orders of a customer, three weeks apart."""
    has_second = random.random() < SECOND_TASTE_PROBABILITY
    tastes = random.sample(assortment.tastes[animal], 1 + has_second)
    for number in range(random.randint(3, 6)):
        product_ids = {
            _sample(assortment, random.choice(tastes), random) for _ in range(random.randint(1, 4))
        }
        at = BEGIN + timedelta(weeks=3 * number, minutes=random.randrange(10_000))
        yield Order(f"{user_id}-{number}", user_id, at, sorted(product_ids))


def _sample(assortment: _Assortment, taste: ZipfSampler, random: Random) -> str:
    draw = random.random()
    if draw < RANDOM_SHARE:
        return assortment.all.sample(random)
    return (assortment.common if draw < RANDOM_SHARE + COMMON_SHARE else taste).sample(random)


def _product_ids(prefix: str, count: int = PRODUCTS_PER_TASTE) -> Sequence[str]:
    return [f"{prefix}-{n:02}" for n in range(count)]


def _product(product_id: str) -> Product:
    return Product(product_id, product_id, product_id, product_id.rsplit("-", 2)[0])
