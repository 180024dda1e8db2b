"""Writes changes into the graph, inside a transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.recommendations import cypher
from services.recommendations.domain import (
    Change,
    CustomerChanged,
    OrderCancelled,
    OrderPlaced,
    Product,
    ProductNotFoundError,
)
from services.recommendations.graph import Row, Transaction, rows, run, to_micros


def apply(tx: Transaction, change: Change) -> None:
    """Apply the change of an event."""
    match change:
        case CustomerChanged():
            parameters = asdict(change) | {"as_of": to_micros(change.as_of)}
            run(tx, cypher.UPDATE_CUSTOMER, **parameters)
        case OrderPlaced():
            _place(tx, change)
        case OrderCancelled():
            _cancel(tx, change)


def upsert_products(tx: Transaction, products: Sequence[Product], as_of: datetime) -> None:
    """Add products, or update those whose stored data is older."""
    values = [asdict(product) for product in products]
    run(tx, cypher.UPSERT_PRODUCTS, products=values, as_of=to_micros(as_of))


def train(tx: Transaction, user_id: str, ids: Sequence[str], now: datetime) -> int:
    """Add purchases of products, and count those that are new."""
    parameters = {"user_id": user_id, "product_ids": ids, "as_of": to_micros(now)}
    known = rows(tx, cypher.FIND_PURCHASED, **parameters)
    run(tx, cypher.ENSURE_PURCHASES, **parameters)
    run(tx, cypher.TRAIN, **parameters)
    return len(ids) - len(known)


def find_products(tx: Transaction, names: Sequence[str]) -> list[str]:
    """Resolve ids, in any case, and skus to product ids.

    ProductNotFoundError when one is not in the graph.
    """
    ids = [name.lower() for name in names]
    found = rows(tx, cypher.FIND_PRODUCTS, ids=ids, skus=list(names))
    by_name = {row[key]: row["product_id"] for row in found for key in ("product_id", "sku")}
    resolved = {name: by_name.get(name) or by_name.get(name.lower()) for name in names}
    if unknown := [name for name, product_id in resolved.items() if product_id is None]:
        raise ProductNotFoundError(unknown)
    return sorted({product_id for product_id in resolved.values() if product_id})


def _place(tx: Transaction, order: OrderPlaced) -> None:
    """Add the purchases of an order, unless it was cancelled."""
    upsert_products(tx, order.products, order.as_of)
    if rows(tx, cypher.FIND_CANCELLED_ORDER, order_id=order.order_id):
        return
    parameters = {
        "user_id": order.user_id,
        "order_id": order.order_id,
        "product_ids": [product.product_id for product in order.products],
        "as_of": to_micros(order.as_of),
    }
    run(tx, cypher.ENSURE_PURCHASES, **parameters)
    run(tx, cypher.ADD_ORDER, **parameters)


def _cancel(tx: Transaction, order: OrderCancelled) -> None:
    """Remove an order from its customer's purchases, for good."""
    parameters = asdict(order)
    run(tx, cypher.RECORD_CANCELLED_ORDER, **parameters)
    if found := rows(tx, cypher.PURCHASES_OF_ORDER, **parameters):
        remaining = [_without(row, order.order_id) for row in found]
        run(tx, cypher.REPLACE_PURCHASES, purchases=remaining, **parameters)
        run(tx, cypher.DELETE_EMPTY_PURCHASES, **parameters)


def _without(row: Row, order_id: str) -> dict[str, Any]:
    """Return a purchase without one of its orders; `last_at` is 0 when nothing remains."""
    pairs = zip(row["orders"], row["times"], strict=True)
    remaining = [(order, time) for order, time in pairs if order != order_id]
    times = [time for _, time in remaining]
    return {
        "product_id": row["product_id"],
        "orders": [order for order, _ in remaining],
        "times": times,
        "last_at": max([row["trained_at"], *times]),
    }
