"""Purchases of demo customers, so that the first real customer gets recommendations.

A shop without orders has nothing to recommend. The demo customers have tastes: products that
belong together, and some chance. They exist only in the graph, under ids such as
"demo-client-01", and count like real customers, whose purchases outweigh theirs in time.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid5

import structlog

from services.recommendations.domain import CustomerChanged, Product
from services.recommendations.graph import EPOCH
from services.recommendations.repository import RecommendationsRepository

DEMO_DATA = Path(__file__).with_name("demo.json")
NAMESPACE = UUID("5b0e6a0c-3d0f-4f7e-9a57-6d1c0f8e2b41")
"""Derives a product's id from its sku, as the catalog does for its demo products."""
TRAINED_AT = datetime(2020, 1, 1, tzinfo=UTC)
OTHER_PRODUCT_PROBABILITY = 0.15
"""How often a demo customer buys something outside of the taste."""

log = structlog.get_logger()


@dataclass(frozen=True)
class DemoCustomer:
    """An invented customer."""

    user_id: str
    animal_type: str
    skus: Sequence[str]


def seed(repository: RecommendationsRepository) -> None:
    """Add the demo products and purchases that are missing.

    They are dated to 1970: the data of any event is newer.
    """
    repository.upsert_products(products(), EPOCH)
    count = 0
    for customer in customers():
        change = CustomerChanged(
            user_id=customer.user_id, animal_type=customer.animal_type, as_of=EPOCH
        )
        repository.apply(customer.user_id, change)
        count += repository.train(customer.user_id, customer.skus, TRAINED_AT)
    log.info("demo_purchases_added", count=count)


def products() -> Sequence[Product]:
    """Return the demo products."""
    return [Product(str(uuid5(NAMESPACE, entry["sku"])), **entry) for entry in _load()["products"]]


def customers() -> Iterator[DemoCustomer]:
    """Yield the demo customers, the same ones each time."""
    chance = Random(60)  # noqa: S311 - no secret
    skus = [entry["sku"] for entry in _load()["products"]]
    number = 0
    for taste in _load()["tastes"]:
        for _ in range(taste["customers"]):
            number += 1
            chosen = _choose(taste["skus"], skus, chance)
            yield DemoCustomer(f"demo-client-{number:02}", taste["animal"], chosen)


def _choose(taste: Sequence[str], skus: Sequence[str], chance: Random) -> Sequence[str]:
    """Return most products of a taste, and sometimes another one."""
    wanted = chance.sample(taste, max(1, round(len(taste) * chance.uniform(0.5, 0.9))))
    additional = [
        chance.choice(skus) for _ in wanted if chance.random() < OTHER_PRODUCT_PROBABILITY
    ]
    return sorted({*wanted, *additional})


def _load() -> dict[str, Any]:
    return json.loads(DEMO_DATA.read_text(encoding="utf-8"))
