"""Lists and searches of products in PostgreSQL, for a shop of a thousand or a million.

Lists walk an index of the small table `listings`, and read the rows of one page. A search takes
the first MAX_EXACT products that have its words; RANKED or fewer are ordered by rank, more of
them by sku. What costs more than a few milliseconds passes a bulkhead and has a time limit, so
that orders always find a thread and a connection.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from psycopg2 import errors as driver_errors
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.bulkhead import Bulkhead, SearchOverloadedError
from services.catalog.domain import Product
from services.catalog.product_rows import OF_PRODUCT, RATED_COLUMNS, to_product
from services.catalog.schema import listings, product_ratings, products
from services.catalog.search_text import build_query
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.storage.postgres import transaction

MAX_EXACT = 10_000
"""Up to so many products a total is exact; beyond it is PostgreSQL's estimate."""

RANKED = 1_000
"""Up to so many products a search is ordered by rank."""

TIMEOUT_SECONDS = 0.5
"""How long a statement of a search or of a late page may take."""


@dataclass(frozen=True, kw_only=True)
class ProductQuery:
    """Filters and page of a list of products; `page` counts from 1, empty filters match all."""

    page: int
    limit: int
    category: str = ""
    text: str = ""

    @property
    def offset(self) -> int:
        """The number of products on the pages before."""
        return (self.page - 1) * self.limit

    @property
    def is_expensive(self) -> bool:
        """Whether it reads more than a page of an index."""
        return bool(self.text) or self.offset > MAX_EXACT


class ProductSearch(Protocol):
    """Lists and searches products."""

    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        """Return a page of products and the number of all that match.

        Products with all words of the text, in any order; ordered by rank if they are few, else
        by sku. SearchOverloadedError when too many search at once.
        """


class PostgresProductSearch(ProductSearch):
    """Searches in the table `listings`."""

    def __init__(self, engine: sa.Engine, *, bulkhead: Bulkhead | None = None) -> None:
        self._engine = engine
        self._bulkhead = bulkhead or Bulkhead()

    @override
    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        if query.text and not build_query(query.text):
            return [], 0
        with ExitStack() as stack:
            if query.is_expensive:
                stack.enter_context(self._bulkhead.enter())
            return self._search(query)

    def _search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        try:
            with transaction(self._engine) as connection:
                if query.is_expensive:
                    connection.execute(_limit_time())
                total = _count(connection, query)
                rows = connection.execute(_build_page(query, total))
                return [to_product(row) for row in rows], total
        except StoreUnavailableError as error:
            if isinstance(getattr(error.__cause__, "orig", None), driver_errors.QueryCanceled):
                raise SearchOverloadedError from error
            raise


def _limit_time() -> sa.TextClause:
    remaining = current().remaining_seconds()
    seconds = TIMEOUT_SECONDS if remaining is None else min(TIMEOUT_SECONDS, remaining)
    return sa.text(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")


def _conditions(query: ProductQuery) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if query.category:
        conditions.append(listings.c.category == query.category)
    if query.text:
        conditions.append(listings.c.document.op("@@")(_parse_text(query)))
    return conditions


def _parse_text(query: ProductQuery) -> sa.ColumnElement[Any]:
    return sa.cast(build_query(query.text), postgresql.TSQUERY)


def _count(connection: sa.Connection, query: ProductQuery) -> int:
    """Count what matches, exactly up to MAX_EXACT; beyond, ask the planner for its estimate."""
    matching = sa.select(listings.c.sku).where(*_conditions(query))
    some = matching.limit(MAX_EXACT + 1).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return count if count <= MAX_EXACT else max(count, _estimate(connection, matching))


def _estimate(connection: sa.Connection, matching: sa.Select[Any]) -> int:
    compiled = matching.compile(dialect=connection.dialect)
    explain = f"EXPLAIN (FORMAT JSON) {compiled}"
    (plan,) = connection.exec_driver_sql(explain, compiled.params).scalar_one()
    return int(plan["Plan"]["Plan Rows"])


def _build_page(query: ProductQuery, total: int) -> sa.Select[Any]:
    """Build the query of a page: its skus first, then their rows."""
    matching: sa.FromClause = (
        _matches(query) if query.text else _unranked(query).subquery("matching")
    )
    is_ranked = bool(query.text) and total <= RANKED
    page = sa.select(matching).order_by(*_order(matching, is_ranked=is_ranked))
    rows = page.limit(query.limit).offset(query.offset).subquery("page")
    joined = rows.join(products, rows.c.sku == products.c.sku)
    rated = joined.outerjoin(product_ratings, OF_PRODUCT)
    selected = sa.select(*RATED_COLUMNS).select_from(rated)
    return selected.order_by(*_order(rows, is_ranked=is_ranked))


def _unranked(query: ProductQuery) -> sa.Select[Any]:
    rank = sa.literal(0.0).label("rank")
    return sa.select(listings.c.sku, rank).where(*_conditions(query))


def _matches(query: ProductQuery) -> sa.CTE:
    """Build the first products that match, found once by the index of words."""
    rank = sa.func.ts_rank(listings.c.document, _parse_text(query)).label("rank")
    found = sa.select(listings.c.sku, rank).where(*_conditions(query)).limit(MAX_EXACT)
    return found.cte("matching").prefix_with("MATERIALIZED")


def _order(rows: sa.FromClause, *, is_ranked: bool) -> list[sa.ColumnElement[Any]]:
    return [rows.c.rank.desc(), rows.c.sku] if is_ranked else [rows.c.sku]
