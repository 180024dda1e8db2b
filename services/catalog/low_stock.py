"""The products whose stock is low, in a table of their own.

Stock changes with every order. An index of it would have to change as well, so the table has a row
for each product that crossed the threshold, from there until it crosses it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.domain import LOW_STOCK_THRESHOLD
from services.catalog.schema import low_stock, products
from services.common.storage import postgres

MAX_COUNT = 1_000
ADD = postgresql.insert(low_stock).on_conflict_do_nothing()
REMOVE = sa.delete(low_stock).where(low_stock.c.product_id == sa.bindparam("id"))
# The stock itself decides: a release before this one did not write the table.
_is_low = products.c.stock <= LOW_STOCK_THRESHOLD
_low = sa.join(low_stock, products, low_stock.c.product_id == products.c.product_id)
LIST = (
    sa.select(
        products.c.product_id,
        products.c.sku,
        products.c.title,
        products.c.category,
        products.c.stock,
        low_stock.c.since,
    )
    .select_from(_low)
    .where(_is_low)
    .order_by(low_stock.c.since.desc(), products.c.sku)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_counted = sa.select(sa.literal(1)).select_from(_low).where(_is_low).limit(MAX_COUNT).subquery()
COUNT = sa.select(sa.func.count()).select_from(_counted)


@dataclass(frozen=True, kw_only=True)
class LowStock:
    """A product of which few units are on sale, and since when."""

    product_id: str
    sku: str
    title: str
    category: str
    stock: int
    since: datetime


class LowStockRepository(Protocol):
    """Lists the products whose stock is low."""

    def list_low(self, limit: int) -> tuple[Sequence[LowStock], int]:
        """Return those that became low last, and how many there are, up to MAX_COUNT."""


class PostgresLowStockRepository(LowStockRepository):
    """Products whose stock is low, in PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @override
    def list_low(self, limit: int) -> tuple[Sequence[LowStock], int]:
        rows = postgres.read(self._engine, LIST, {"limit": limit})
        found = [LowStock(**row._mapping) for row in rows]
        if len(found) < limit:
            return found, len(found)
        return found, postgres.read(self._engine, COUNT)[0][0]


def record(
    connection: sa.Connection, product_id: str, *, before: int, after: int, now: datetime
) -> None:
    """Record that a product's stock has become low, or no longer is."""
    was_low, is_low = before <= LOW_STOCK_THRESHOLD, after <= LOW_STOCK_THRESHOLD
    if is_low and not was_low:
        connection.execute(ADD, {"product_id": product_id, "since": now})
    elif was_low and not is_low:
        connection.execute(REMOVE, {"id": product_id})
