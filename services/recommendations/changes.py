"""Writes changes into the graph, inside a transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from operator import itemgetter
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

Pair = tuple[str, str]
"""A customer's id and a product's."""


def apply_all(tx: Transaction, changes: Sequence[Change]) -> None:
    """Apply the changes of events; they commute, so each kind is applied together."""
    _update_customers(tx, [each for each in changes if isinstance(each, CustomerChanged)])
    _place_all(tx, [each for each in changes if isinstance(each, OrderPlaced)])
    for change in changes:
        if isinstance(change, OrderCancelled):
            _cancel(tx, change)


def upsert_products(tx: Transaction, products: Sequence[Product], as_of: datetime) -> None:
    """Add products, or update those whose stored data is older."""
    _upsert_products(tx, [(product, as_of) for product in products])


def train(tx: Transaction, user_id: str, ids: Sequence[str], now: datetime) -> int:
    """Add purchases of products, and count those that are new."""
    parameters = {"user_id": user_id, "product_ids": ids, "as_of": to_micros(now)}
    known = rows(tx, cypher.FIND_PURCHASED, **parameters)
    _ensure_purchases(tx, [(user_id, product_id) for product_id in ids])
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


def _update_customers(tx: Transaction, changes: Sequence[CustomerChanged]) -> None:
    if not changes:
        return
    oldest_first = sorted(changes, key=lambda change: (change.version, change.as_of))
    newest = {change.user_id: change for change in oldest_first}
    values = [asdict(each) | {"as_of": to_micros(each.as_of)} for each in newest.values()]
    run(tx, cypher.UPDATE_CUSTOMERS, customers=values)


def _upsert_products(tx: Transaction, products: Iterable[tuple[Product, datetime]]) -> None:
    newest = {p.product_id: (p, as_of) for p, as_of in sorted(products, key=itemgetter(1))}
    values = [asdict(product) | {"as_of": to_micros(as_of)} for product, as_of in newest.values()]
    run(tx, cypher.UPSERT_PRODUCTS, products=values)


def _place_all(tx: Transaction, orders: Sequence[OrderPlaced]) -> None:
    """Add the purchases of orders, apart from those that were cancelled."""
    if not orders:
        return
    _upsert_products(tx, [(product, order.as_of) for order in orders for product in order.products])
    ids = [order.order_id for order in orders]
    cancelled = {row["order_id"] for row in rows(tx, cypher.FIND_CANCELLED_ORDERS, order_ids=ids)}
    times: defaultdict[Pair, dict[str, int]] = defaultdict(dict)
    for order in orders:
        if order.order_id not in cancelled:
            for product in order.products:
                pair = (order.user_id, product.product_id)
                times[pair][order.order_id] = to_micros(order.as_of)
    changed = [
        _with(row, new)
        for row in _ensure_purchases(tx, times)
        if (new := _without_known(row, times[row["user_id"], row["product_id"]]))
    ]
    if changed:
        run(tx, cypher.REPLACE_PURCHASES, purchases=changed)


def _ensure_purchases(tx: Transaction, pairs: Iterable[Pair]) -> list[Row]:
    """Add the purchases that are missing, and return all of them.

    Sorted by product: concurrent transactions lock products in the same order.
    """
    purchases = [
        {"user_id": user_id, "product_id": product_id}
        for user_id, product_id in sorted(pairs, key=itemgetter(1, 0))
    ]
    return list(rows(tx, cypher.ENSURE_PURCHASES, purchases=purchases)) if purchases else []


def _without_known(row: Row, times: Mapping[str, int]) -> dict[str, int]:
    known = set(row["orders"])
    return {order_id: time for order_id, time in times.items() if order_id not in known}


def _with(row: Row, new: Mapping[str, int]) -> dict[str, Any]:
    """Return a purchase with more orders, by their times."""
    return {
        "user_id": row["user_id"],
        "product_id": row["product_id"],
        "orders": [*row["orders"], *new],
        "times": [*row["times"], *new.values()],
        "last_at": max([row["last_at"], *new.values()]),
    }


def _cancel(tx: Transaction, order: OrderCancelled) -> None:
    """Remove an order from its customer's purchases, for good."""
    parameters = asdict(order)
    run(tx, cypher.RECORD_CANCELLED_ORDER, **parameters)
    if found := rows(tx, cypher.PURCHASES_OF_ORDER, **parameters):
        remaining = [{"user_id": order.user_id} | _without(row, order.order_id) for row in found]
        run(tx, cypher.REPLACE_PURCHASES, purchases=remaining)
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
