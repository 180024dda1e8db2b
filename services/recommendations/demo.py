"""Purchases of demo clients, so that the first real client sees something.

The shop starts without a single order, and a graph without purchases recommends nothing. The
demo clients have tastes: products that belong together, with some chance around. They are in
the graph alone, under ids that say what they are ("demo-client-01"), and count like anybody
else; they weigh less and less as real clients buy.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import UUID, uuid5

import structlog

from services.recommendations.domain import ClientTold, Product
from services.recommendations.graph import EPOCH
from services.recommendations.repository import RecommendationsRepository

TOLD = Path(__file__).with_name("demo.json")
NAMESPACE = UUID("5b0e6a0c-3d0f-4f7e-9a57-6d1c0f8e2b41")
"""Makes a product's id from its sku, as the catalog does with its demo products."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CHANCE = 0.15
"""How often a demo client takes something that the taste does not tell."""

log = structlog.get_logger()


@dataclass(frozen=True)
class DemoClient:
    """A made-up client."""

    user_id: str
    animal_type: str
    skus: Sequence[str]


def seed(repository: RecommendationsRepository) -> None:
    """Add the demo products and purchases that are not there yet.

    Whatever an event says of a product is newer than what is said here.
    """
    repository.name(products(), EPOCH)
    count = 0
    for client in clients():
        told = ClientTold(user_id=client.user_id, animal_type=client.animal_type, as_of=EPOCH)
        repository.apply(client.user_id, told)
        count += repository.train(client.user_id, client.skus, LONG_AGO)
    log.info("demo_purchases_added", count=count)


def products() -> Sequence[Product]:
    """Return the demo products."""
    return [Product(str(uuid5(NAMESPACE, entry["sku"])), **entry) for entry in _told()["products"]]


def clients() -> Iterator[DemoClient]:
    """Yield the demo clients, the same ones each time."""
    chance = Random(60)  # noqa: S311 - no secret
    every = [entry["sku"] for entry in _told()["products"]]
    number = 0
    for taste in _told()["tastes"]:
        for _ in range(taste["clients"]):
            number += 1
            skus = _choose(taste["skus"], every, chance)
            yield DemoClient(f"demo-client-{number:02}", taste["animal"], skus)


def _choose(taste: Sequence[str], every: Sequence[str], chance: Random) -> Sequence[str]:
    """Return most of a taste, and now and then something else."""
    wanted = chance.sample(taste, max(1, round(len(taste) * chance.uniform(0.5, 0.9))))
    others = [chance.choice(every) for _ in wanted if chance.random() < CHANCE]
    return sorted({*wanted, *others})


def _told() -> dict:
    return json.loads(TOLD.read_text(encoding="utf-8"))
