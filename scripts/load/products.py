"""Made-up products: the same for each number, plausible to people and to a search.

A title has a common word ("Croquettes": every 12th product), words of several frequencies and, in
one of RARE_EVERY products, a rare one. Half of them are French, half are English.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

SKU_PREFIX = "load_"
RARE_EVERY = 50_000
RARE_WORD = "Œillet"

CATEGORIES = ("dog-food", "cat-food", "small-animals", "toys", "care-and-accessories")
BRANDS = ("Mamie Rosa", "Les Prés", "Vieux Moulin", "Grand'Mère", "Happy Paws", "Old Mill")
FRENCH = (
    ("Croquettes", "Pâtée", "Friandises", "Terrine", "Mijoté", "Biscuits"),
    ("au bœuf", "au poulet", "à la dinde", "au saumon", "à l'agneau", "au gibier", "sans céréales"),
    ("pour chien", "pour chat", "pour chaton", "pour chiot", "pour lapin", "senior", "stérilisé"),
    ("Recette à l'ancienne, cuite au four.", "Sans colorant ni conservateur.", "Prêt à servir."),
)
ENGLISH = (
    ("Kibble", "Stew", "Biscuits", "Ball", "Brush", "Blanket"),
    ("with beef", "with chicken", "with turkey", "with salmon", "of soft wool", "of solid rubber"),
    ("for dogs", "for cats", "for kittens", "for puppies", "for rabbits", "large", "small"),
    ("Baked slowly, as at home.", "Made to last.", "Gentle on the stomach."),
)
SIZES = ("400 g", "500g", "1 kg", "2 kg", "12 kg", "100% naturel", "x 6")


@dataclass(frozen=True)
class LoadedProduct:
    """A made-up product; the price is a decimal string."""

    product_id: str
    sku: str
    title: str
    description: str
    category: str
    price: str
    stock: int


def make_products(count: int, *, seed: int = 7) -> Iterator[LoadedProduct]:
    """Make products number 1 to `count`."""
    random = Random(seed)  # noqa: S311 - no secret
    for number in range(1, count + 1):
        yield _make_product(number, random)


def _make_product(number: int, random: Random) -> LoadedProduct:
    kinds, tastes, animals, texts = FRENCH if number % 2 else ENGLISH
    parts = [random.choice(words) for words in (kinds, tastes, animals, BRANDS, SIZES)]
    if number % RARE_EVERY == 0:
        parts.append(f"{RARE_WORD} {number // RARE_EVERY}")
    return LoadedProduct(
        product_id=str(uuid.UUID(int=random.getrandbits(128), version=4)),
        sku=f"{SKU_PREFIX}{number:07}",
        title=" ".join(parts),
        description=_describe(texts, number, random),
        category=random.choice(CATEGORIES),
        price=f"{random.randrange(100, 9_000) / 100:.2f}",
        stock=random.randrange(1_000, 100_000),
    )


def _describe(texts: Sequence[str], number: int, random: Random) -> str:
    return " ".join([*random.sample(texts, 2), f"Lot {number % 5_000}."])
