"""Lists and searches of products in PostgreSQL, for a shop of a thousand or a million.

Lists walk an index of the small table `listings`, and read the rows of one page. So does a search
for words that more than MAX_EXACT products have, for its page is soon full. Any other takes what
the index of words finds, MAX_EXACT at most; RANKED or fewer are ordered by rank, more by sku. What
costs more than a few milliseconds passes a bulkhead and has a time limit, so that orders always
find a thread and a connection.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

import sqlalchemy as sa
from psycopg2 import errors as driver_errors
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.bulkhead import Bulkhead, SearchOverloadedError
from services.catalog.domain import Product
from services.catalog.product_rows import OF_PRODUCT, RATED_COLUMNS, to_product
from services.catalog.schema import listings, product_ratings, products
from services.catalog.search_text import SHORT, build_query, search_words
from services.common.context import current
from services.common.errors import StoreUnavailableError
from services.common.storage.postgres import is_uuid, transaction

MAX_EXACT = 10_000
"""Up to so many products a total is exact; beyond it is PostgreSQL's estimate."""

RANKED = 1_000
"""Up to so many products a search is ordered by rank."""

TIMEOUT_SECONDS = 0.5
"""How long a statement of a search or of a late page may take."""

WALK_SECONDS = 0.15
"""How long a common word may be looked for along the skus, before the index of words is asked."""

BY_SKU = sa.text("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off")
"""Leaves the planner the indexes by sku alone: it takes all beginnings of words for rare."""


class ProductOrder(StrEnum):
    """The order of a list, as the proto names it."""

    SKU = "PRODUCT_ORDER_UNSPECIFIED"
    CHEAPEST = "PRICE_ASCENDING"
    DEAREST = "PRICE_DESCENDING"


@dataclass(frozen=True, kw_only=True)
class ProductQuery:
    """Filters and page of a list of products; `page` counts from 1, empty filters match all.

    `names` are ids or skus. Prices are bounds that belong to the range.
    """

    page: int
    limit: int
    category: str = ""
    text: str = ""
    names: AbstractSet[str] = frozenset()
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    order: ProductOrder = ProductOrder.SKU

    @property
    def offset(self) -> int:
        """The number of products on the pages before."""
        return (self.page - 1) * self.limit

    @property
    def is_expensive(self) -> bool:
        """Whether it reads more than a page of an index."""
        return bool(self.text) or self.offset > MAX_EXACT or self.is_by_product

    @property
    def is_by_product(self) -> bool:
        """Whether it depends on what only the table of products has."""
        has_range = self.min_price is not None or self.max_price is not None
        return bool(self.names) or has_range or self.order is not ProductOrder.SKU


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
                    _limit_time(connection, TIMEOUT_SECONDS)
                return _find(connection, query)
        except StoreUnavailableError as error:
            if _is_timeout(error.__cause__):
                raise SearchOverloadedError from error
            raise


def _find(connection: sa.Connection, query: ProductQuery) -> tuple[Sequence[Product], int]:
    if query.is_by_product:
        return _find_by_product(connection, query)
    if query.text and (estimate := _estimate_text(connection, query)) > MAX_EXACT:
        common = _walk(connection, query)
        if common is not None:
            return common, MAX_EXACT + 1 if _is_unfinished(query.text) else estimate
    total = _count(connection, query)
    return _read(connection, _build_page(query, is_ranked=total <= RANKED)), total


def _walk(connection: sa.Connection, query: ProductQuery) -> Sequence[Product] | None:
    """Find a page of a common word along the skus, which is soon full; None when it is not."""
    if query.offset >= MAX_EXACT:
        return []
    try:
        with connection.begin_nested():
            _limit_time(connection, WALK_SECONDS)
            connection.execute(BY_SKU)
            return _read(connection, _join_rows(query, _list(query), is_ranked=False))
    except exc.OperationalError as error:
        if _is_timeout(error):
            return None
        raise


def _find_by_product(
    connection: sa.Connection, query: ProductQuery
) -> tuple[Sequence[Product], int]:
    """Find a page along the prices or the names; of a text, among its first MAX_EXACT products."""
    matching = sa.select(products.c.sku).where(*_product_conditions(query))
    if query.text:
        found = _match(query)
        matching = matching.where(products.c.sku.in_(sa.select(found.c.sku)))
    total = _count_up_to_maximum(connection, matching)
    order = _product_order(query.order)
    page = matching.order_by(*order).limit(query.limit).offset(query.offset).subquery("page")
    rated = page.join(products, page.c.sku == products.c.sku).outerjoin(product_ratings, OF_PRODUCT)
    return _read(connection, sa.select(*RATED_COLUMNS).select_from(rated).order_by(*order)), total


def _product_conditions(query: ProductQuery) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.names:
        ids = {name.lower() for name in query.names if is_uuid(name)}
        conditions.append(products.c.product_id.in_(ids) | products.c.sku.in_(query.names))
    if query.category:
        conditions.append(products.c.category == query.category)
    if query.min_price is not None:
        conditions.append(products.c.price >= query.min_price)
    if query.max_price is not None:
        conditions.append(products.c.price <= query.max_price)
    return conditions


def _product_order(order: ProductOrder) -> list[sa.ColumnElement[Any]]:
    if order is ProductOrder.CHEAPEST:
        return [products.c.price, products.c.sku]
    if order is ProductOrder.DEAREST:
        return [products.c.price.desc(), products.c.sku.desc()]
    return [products.c.sku.asc()]


def _read(connection: sa.Connection, page: sa.Select[Any]) -> Sequence[Product]:
    return [to_product(row) for row in connection.execute(page)]


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(getattr(error, "orig", None), driver_errors.QueryCanceled)


def _limit_time(connection: sa.Connection, seconds: float) -> None:
    """Limit the time of the statements that follow, to what the caller waits at most."""
    remaining = current().remaining_seconds()
    limit = seconds if remaining is None else min(seconds, remaining)
    connection.execute(sa.text(f"SET LOCAL statement_timeout = {max(1, int(limit * 1000))}"))


def _conditions(query: ProductQuery, words: str = "") -> list[sa.ColumnElement[bool]]:
    conditions = []
    if query.category:
        conditions.append(listings.c.category == query.category)
    if words:
        conditions.append(listings.c.document.op("@@")(_to_query(words)))
    return conditions


def _to_query(words: str) -> sa.ColumnElement[Any]:
    return sa.cast(words, postgresql.TSQUERY)


def _count(connection: sa.Connection, query: ProductQuery) -> int:
    """Count what matches, exactly up to MAX_EXACT; beyond, ask the planner for its estimate."""
    return _count_up_to_maximum(
        connection,
        sa.select(listings.c.sku).where(*_conditions(query, build_query(query.text))),
    )


def _count_up_to_maximum(connection: sa.Connection, matching: sa.Select[Any]) -> int:
    some = matching.limit(MAX_EXACT + 1).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return count if count <= MAX_EXACT else max(count, _estimate(connection, matching))


def _estimate_text(connection: sa.Connection, query: ProductQuery) -> int:
    """Estimate how many products have the words of a text.

    The planner knows how frequent whole words are, and nothing of beginnings: an unfinished last
    word, with which very many words begin, is left out.
    """
    words = search_words(query.text)
    whole = words[:-1] if _is_unfinished(query.text) else words
    terms = " & ".join(f"'{word}'" for word in whole)
    return _estimate(connection, sa.select(listings.c.sku).where(*_conditions(query, terms)))


def _is_unfinished(text: str) -> bool:
    last = search_words(text)[-1]
    return len(last) <= SHORT and not last.isdigit()


def _estimate(connection: sa.Connection, matching: sa.Select[Any]) -> int:
    compiled = matching.compile(dialect=connection.dialect)
    explain = f"EXPLAIN (FORMAT JSON) {compiled}"
    (plan,) = connection.exec_driver_sql(explain, compiled.params).scalar_one()
    return int(plan["Plan"]["Plan Rows"])


def _build_page(query: ProductQuery, *, is_ranked: bool) -> sa.Select[Any]:
    if not query.text:
        return _join_rows(query, _list(query), is_ranked=False)
    return _join_rows(query, _match(query), is_ranked=is_ranked)


def _list(query: ProductQuery) -> sa.Subquery:
    """Build the list of what matches, for a walk along its skus."""
    rank = sa.literal(0.0).label("rank")
    conditions = _conditions(query, build_query(query.text))
    return sa.select(listings.c.sku, rank).where(*conditions).subquery("matching")


def _match(query: ProductQuery) -> sa.CTE:
    """Build the first products that match, found by the index of words."""
    words = build_query(query.text)
    rank = sa.func.ts_rank(listings.c.document, _to_query(words)).label("rank")
    found = sa.select(listings.c.sku, rank).where(*_conditions(query, words)).limit(MAX_EXACT)
    return found.cte("matching").prefix_with("MATERIALIZED")


def _join_rows(query: ProductQuery, matching: sa.FromClause, *, is_ranked: bool) -> sa.Select[Any]:
    """Build the query of a page: its skus first, then their rows."""
    skus = sa.select(matching).order_by(*_order(matching, is_ranked=is_ranked))
    page = skus.limit(query.limit).offset(query.offset).subquery("page")
    joined = page.join(products, page.c.sku == products.c.sku)
    rated = joined.outerjoin(product_ratings, OF_PRODUCT)
    selected = sa.select(*RATED_COLUMNS).select_from(rated)
    return selected.order_by(*_order(page, is_ranked=is_ranked))


def _order(rows: sa.FromClause, *, is_ranked: bool) -> list[sa.ColumnElement[Any]]:
    return [rows.c.rank.desc(), rows.c.sku] if is_ranked else [rows.c.sku]
