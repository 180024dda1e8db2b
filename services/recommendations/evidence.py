"""Reads from the graph what is known about what a client may like.

The work is bounded, however many clients there are: of each of the newest purchases, a
sample of those who bought it too is asked what else they bought. A sample is chosen by the
clients' buckets, so that the same graph gives the same answer.
"""

import math
from collections.abc import Sequence
from typing import Any

from services.recommendations import cypher
from services.recommendations.domain import (
    SAMPLE,
    Companion,
    Evidence,
    History,
    Popular,
    Product,
    Purchase,
)
from services.recommendations.graph import BUCKETS, Row, Transaction, below, from_micros, rows

ANIMAL_SAMPLE = 2_000
"""About how many clients with an animal are asked what they bought."""
MOST_COMPANIONS = 300
"""How many companions are looked at, those most often bought together."""


def gather(tx: Transaction, user_id: str, limit: int) -> Evidence:
    """Return what is known about what a client may like.

    What is popular is only asked where companions do not fill the answer.
    """
    history = _load_history(tx, user_id)
    companions = _load_companions(tx, history)
    if len(companions) >= limit:
        return Evidence(history=history, companions=companions)
    facts = {"bought": sorted(history.bought), "most": limit + len(companions)}
    return Evidence(
        history=history,
        companions=companions,
        with_animal=_load_with_animal(tx, history, facts),
        in_categories=_load_popular(
            tx, cypher.IN_CATEGORIES, facts | {"categories": history.categories}
        ),
        overall=_load_popular(tx, cypher.OVERALL, facts),
    )


def _load_history(tx: Transaction, user_id: str) -> History:
    client = rows(tx, cypher.ANIMAL, user_id=user_id)
    found = [_to_purchase(row) for row in rows(tx, cypher.PURCHASES, user_id=user_id)]
    return History(
        user_id=user_id,
        animal_type=client[0]["animal_type"] if client else "",
        purchases=sorted(found, key=lambda p: (-p.last_at.timestamp(), p.product.product_id)),
    )


def _load_companions(tx: Transaction, history: History) -> Sequence[Companion]:
    basis = [_to_basis(purchase) for purchase in history.basis]
    facts = {"basis": basis, "bought": sorted(history.bought), "most": MOST_COMPANIONS}
    found = rows(tx, cypher.COMPANIONS, user_id=history.user_id, **facts) if basis else []
    return [_to_companion(row) for row in found]


def _to_basis(purchase: Purchase) -> dict[str, Any]:
    """Return how a purchase is sampled, and what each of the sampled clients counts."""
    bound = below(SAMPLE, purchase.buyers)
    weight = BUCKETS / bound / math.sqrt(max(1, purchase.buyers))
    return {"product_id": purchase.product.product_id, "below": bound, "weight": weight}


def _load_with_animal(
    tx: Transaction, history: History, facts: dict[str, Any]
) -> Sequence[Popular]:
    animal = {"animal_type": history.animal_type}
    if not history.animal_type:
        return []
    clients = rows(tx, cypher.COUNT_WITH_ANIMAL, **animal)[0]["clients"]
    bound = below(ANIMAL_SAMPLE, clients)
    return _load_popular(tx, cypher.WITH_ANIMAL, facts | animal | {"below": bound})


def _load_popular(tx: Transaction, statement: str, facts: dict[str, Any]) -> Sequence[Popular]:
    return [Popular(_to_product(row), row["buyers"]) for row in rows(tx, statement, **facts)]


def _to_purchase(row: Row) -> Purchase:
    return Purchase(
        product=_to_product(row),
        count=row["orders"] + (row["trained_at"] > 0),
        last_at=from_micros(row["last_at"]),
        buyers=row["buyers"],
    )


def _to_companion(row: Row) -> Companion:
    return Companion(
        product=_to_product(row),
        strength=row["strength"],
        because=row["because"],
        together=row["together"],
        buyers=row["buyers"],
    )


def _to_product(row: Row) -> Product:
    return Product(row["product_id"], row["sku"], row["title"], row["category"])
