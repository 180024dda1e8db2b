"""Writes into the graph what events and administrators tell."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.recommendations import cypher
from services.recommendations.domain import (
    Change,
    ClientTold,
    OrderPlaced,
    OrderUndone,
    Product,
    ProductUnknownError,
)
from services.recommendations.graph import Row, Transaction, rows, run, to_micros


def make(tx: Transaction, change: Change) -> None:
    """Make a change that an event asks for."""
    match change:
        case ClientTold():
            facts = asdict(change) | {"as_of": to_micros(change.as_of)}
            run(tx, cypher.TELL_CLIENT, **facts)
        case OrderPlaced():
            _place(tx, change)
        case OrderUndone():
            _undo(tx, change)


def name(tx: Transaction, products: Sequence[Product], as_of: datetime) -> None:
    """Add products, or rename those that are known under older names."""
    named = [asdict(product) for product in products]
    run(tx, cypher.NAME_PRODUCTS, products=named, as_of=to_micros(as_of))


def train(tx: Transaction, user_id: str, ids: Sequence[str], now: datetime) -> int:
    """Add purchases of products, named by id, and count those that are new."""
    facts = {"user_id": user_id, "product_ids": ids, "as_of": to_micros(now)}
    known = rows(tx, cypher.BOUGHT_OF, **facts)
    run(tx, cypher.ENSURE_PURCHASES, **facts)
    run(tx, cypher.TRAIN, **facts)
    return len(ids) - len(known)


def find_products(tx: Transaction, names: Sequence[str]) -> list[str]:
    """Return the ids of products that are named by id, in any case, or by sku.

    ProductUnknownError when one is not known.
    """
    ids = [given.lower() for given in names]
    found = rows(tx, cypher.FIND_PRODUCTS, ids=ids, skus=list(names))
    by_name = {row[key]: row["product_id"] for row in found for key in ("product_id", "sku")}
    resolved = {given: by_name.get(given) or by_name.get(given.lower()) for given in names}
    if unknown := [given for given, product_id in resolved.items() if product_id is None]:
        raise ProductUnknownError(unknown)
    return sorted({product_id for product_id in resolved.values() if product_id})


def _place(tx: Transaction, order: OrderPlaced) -> None:
    """Add an order's products to what its client bought, unless it was cancelled."""
    name(tx, order.products, order.as_of)
    if rows(tx, cypher.ORDER_CANCELLED, order_id=order.order_id):
        return
    facts = {
        "user_id": order.user_id,
        "order_id": order.order_id,
        "product_ids": [product.product_id for product in order.products],
        "as_of": to_micros(order.as_of),
    }
    run(tx, cypher.ENSURE_PURCHASES, **facts)
    run(tx, cypher.ADD_ORDER, **facts)


def _undo(tx: Transaction, order: OrderUndone) -> None:
    """Take an order out of what its client bought, for good."""
    facts = asdict(order)
    run(tx, cypher.REMEMBER_CANCELLED, **facts)
    if found := rows(tx, cypher.PURCHASES_OF_ORDER, **facts):
        left = [_without(row, order.order_id) for row in found]
        run(tx, cypher.REPLACE_PURCHASES, purchases=left, **facts)
        run(tx, cypher.DROP_EMPTY_PURCHASES, **facts)


def _without(row: Row, order_id: str) -> dict[str, Any]:
    """Return a purchase without one of its orders; `last_at` is 0 when nothing is left."""
    pairs = zip(row["orders"], row["times"], strict=True)
    left = [(order, time) for order, time in pairs if order != order_id]
    times = [time for _, time in left]
    return {
        "product_id": row["product_id"],
        "orders": [order for order, _ in left],
        "times": times,
        "last_at": max([row["trained_at"], *times]),
    }
