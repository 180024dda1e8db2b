"""Reads the candidates for recommendations from the graph.

The work is bounded, however many customers there are: for each of the newest purchases, the
purchases of a sample of its buyers are read. A sample is chosen by the customers' buckets, so
that the same graph gives the same answer.
"""

import math
from collections.abc import Sequence
from typing import Any

from services.recommendations import cypher
from services.recommendations.domain import (
    BUYER_SAMPLE_SIZE,
    Candidates,
    CoPurchase,
    History,
    Popular,
    Product,
    Purchase,
)
from services.recommendations.graph import (
    BUCKETS,
    Row,
    Transaction,
    bucket_bound,
    from_micros,
    rows,
)

ANIMAL_SAMPLE_SIZE = 2_000
"""About how many customers with an animal are sampled."""
MAX_CO_PURCHASES = 300
"""Candidates that are read, those bought together most often."""


def load(tx: Transaction, user_id: str, limit: int) -> Candidates:
    """Load the candidates for one customer.

    Popular products are loaded only when there are fewer co-purchases than `limit`.
    """
    history = _load_history(tx, user_id)
    co_purchases = _load_co_purchases(tx, history)
    if len(co_purchases) >= limit:
        return Candidates(history=history, co_purchases=co_purchases)
    parameters = {"bought": sorted(history.product_ids), "max_rows": limit + len(co_purchases)}
    return Candidates(
        history=history,
        co_purchases=co_purchases,
        with_animal=_load_with_animal(tx, history, parameters),
        in_categories=[
            popular
            for category in history.categories
            for popular in _load_popular(
                tx, cypher.POPULAR_IN_CATEGORY, parameters | {"category": category}
            )
        ],
        overall=_load_popular(tx, cypher.POPULAR_OVERALL, parameters),
    )


def _load_history(tx: Transaction, user_id: str) -> History:
    customer = rows(tx, cypher.ANIMAL, user_id=user_id)
    found = [_to_purchase(row) for row in rows(tx, cypher.PURCHASES, user_id=user_id)]
    return History(
        user_id=user_id,
        animal_type=customer[0]["animal_type"] if customer else "",
        purchases=sorted(found, key=lambda p: (-p.last_at.timestamp(), p.product.product_id)),
    )


def _load_co_purchases(tx: Transaction, history: History) -> Sequence[CoPurchase]:
    if not history.recent:
        return []
    parameters = {
        "user_id": history.user_id,
        "recent": [_to_sample(purchase) for purchase in history.recent],
        "bought": sorted(history.product_ids),
        "max_rows": MAX_CO_PURCHASES,
    }
    return [_to_co_purchase(row) for row in rows(tx, cypher.CO_PURCHASES, **parameters)]


def _to_sample(purchase: Purchase) -> dict[str, Any]:
    """Return the bucket bound of a purchase's sample of buyers, and the weight of each buyer."""
    bound = bucket_bound(BUYER_SAMPLE_SIZE, purchase.buyers)
    weight = BUCKETS / bound / math.sqrt(max(1, purchase.buyers))
    return {"product_id": purchase.product.product_id, "bound": bound, "weight": weight}


def _load_with_animal(
    tx: Transaction, history: History, parameters: dict[str, Any]
) -> Sequence[Popular]:
    animal = {"animal_type": history.animal_type}
    if not history.animal_type:
        return []
    customers = rows(tx, cypher.COUNT_WITH_ANIMAL, **animal)[0]["customers"]
    bound = bucket_bound(ANIMAL_SAMPLE_SIZE, customers)
    return _load_popular(tx, cypher.POPULAR_WITH_ANIMAL, parameters | animal | {"bound": bound})


def _load_popular(tx: Transaction, statement: str, parameters: dict[str, Any]) -> Sequence[Popular]:
    return [Popular(_to_product(row), row["buyers"]) for row in rows(tx, statement, **parameters)]


def _to_purchase(row: Row) -> Purchase:
    return Purchase(
        product=_to_product(row),
        count=row["orders"] + (row["trained_at"] > 0),
        last_at=from_micros(row["last_at"]),
        buyers=row["buyers"],
    )


def _to_co_purchase(row: Row) -> CoPurchase:
    return CoPurchase(
        product=_to_product(row),
        strength=row["strength"],
        source_id=row["source_id"],
        shared_buyers=row["shared_buyers"],
        buyers=row["buyers"],
    )


def _to_product(row: Row) -> Product:
    return Product(row["product_id"], row["sku"], row["title"], row["category"])
