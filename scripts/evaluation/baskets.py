"""Made-up orders with a structure that is known, the same ones each time.

Clients have an animal, one taste (a dozen products that belong together) and perhaps a
second one. Within a taste few products are popular and many are not. Some of what anybody
buys is for every animal, and some is chance.
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
SECOND_TASTE = 0.3
COMMON, CHANCE = 0.15, 0.15
"""Shares of what is bought that is for every animal, and that is chance."""


@dataclass(frozen=True)
class Order:
    """What a client bought at once."""

    order_id: str
    user_id: str
    at: datetime
    product_ids: Sequence[str]


@dataclass(frozen=True)
class History:
    """A shop's past: its products, its orders, and the animals of clients who told."""

    name: str
    products: Sequence[Product]
    orders: Sequence[Order]
    animals: Mapping[str, str] = field(default_factory=dict)


class Shelf:
    """Products of which the first are popular: the n-th is bought as often as 1/n."""

    def __init__(self, product_ids: Sequence[str]) -> None:
        self._ids = product_ids
        self._bounds = list(accumulate(1 / n for n in range(1, len(product_ids) + 1)))

    def take(self, chance: Random) -> str:
        """Return a product."""
        return chance.choices(self._ids, cum_weights=self._bounds)[0]


def make_history(clients: int, seed: int = 1) -> History:
    """Return the past of a shop with as many clients."""
    chance = Random(seed)  # noqa: S311 - no secret
    tastes = {
        animal: [_product_ids(f"{animal}-{n}") for n in range(TASTES_PER_ANIMAL)]
        for animal in ANIMALS
    }
    common = _product_ids("common", COMMON_PRODUCTS)
    every = [*common, *(name for of in tastes.values() for taste in of for name in taste)]
    chance.shuffle(every)
    shop = _Shop(
        tastes={animal: [Shelf(taste) for taste in of] for animal, of in tastes.items()},
        common=Shelf(common),
        every=Shelf(every),
    )
    names = [f"client-{n:05}" for n in range(clients)]
    animals = {name: chance.choices(list(ANIMALS), list(ANIMALS.values()))[0] for name in names}
    orders = [o for name in names for o in _orders(name, shop, animals[name], chance)]
    return History("made up", [_product(name) for name in sorted(every)], orders, animals)


@dataclass(frozen=True)
class _Shop:
    tastes: Mapping[str, Sequence[Shelf]]
    common: Shelf
    every: Shelf


def _orders(user_id: str, shop: _Shop, animal: str, chance: Random) -> Iterator[Order]:
    """Yield three to six orders of a client, three weeks apart."""
    tastes = chance.sample(shop.tastes[animal], 1 + (chance.random() < SECOND_TASTE))
    for number in range(chance.randint(3, 6)):
        wanted = {_take(shop, chance.choice(tastes), chance) for _ in range(chance.randint(1, 4))}
        at = BEGIN + timedelta(weeks=3 * number, minutes=chance.randrange(10_000))
        yield Order(f"{user_id}-{number}", user_id, at, sorted(wanted))


def _take(shop: _Shop, taste: Shelf, chance: Random) -> str:
    draw = chance.random()
    if draw < CHANCE:
        return shop.every.take(chance)
    return (shop.common if draw < CHANCE + COMMON else taste).take(chance)


def _product_ids(of: str, count: int = PRODUCTS_PER_TASTE) -> Sequence[str]:
    return [f"{of}-{n:02}" for n in range(count)]


def _product(product_id: str) -> Product:
    return Product(product_id, product_id, product_id, product_id.rsplit("-", 2)[0])
