"""Products in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.domain import (
    MAX_STOCK,
    Line,
    Product,
    ProductNotFoundError,
    SkuExistsError,
    StockAboveMaximumError,
    StockBelowZeroError,
)
from services.catalog.schema import adjustments, products
from services.catalog.stock import StockUpdater, read_stock
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.storage import postgres

EDITABLE_COLUMNS = ("title", "description", "category", "price", "image_url")


@dataclass(frozen=True, kw_only=True)
class ProductQuery:
    """Filters and page of a list of products; `page` counts from 1, empty filters match all."""

    page: int
    limit: int
    category: str = ""
    text: str = ""


class CatalogRepository(Protocol):
    """Stores products. A product's name is its id or its sku."""

    def find(self, name: str) -> Product:
        """Return a product; ProductNotFoundError when there is none."""

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        """Return the products that exist, by the names asked for."""

    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        """Return a page of products, ordered by sku, and the number of all that match."""

    def add(self, product: Product) -> None:
        """Add a product; SkuExistsError when its sku is taken."""

    def update(self, product: Product) -> None:
        """Store a product's details; its stock and ratings do not change."""

    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        """Add a signed quantity to the stock and return the sum.

        StockBelowZeroError and StockAboveMaximumError change nothing.
        """

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresCatalogRepository(CatalogRepository):
    """Products in PostgreSQL."""

    def __init__(
        self, engine: sa.Engine, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._stock = StockUpdater(clock=clock, new_id=new_id)

    @override
    def find(self, name: str) -> Product:
        if product := self.find_many([name]).get(name):
            return product
        raise ProductNotFoundError(name)

    @override
    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        wanted = set(names)
        ids = {name for name in wanted if postgres.is_uuid(name)}
        query = sa.select(products).where(
            products.c.product_id.in_(ids) | products.c.sku.in_(wanted - ids)
        )
        with postgres.transaction(self._engine) as connection:
            found = [_to_product(row) for row in connection.execute(query)]
        by_name = {name: product for product in found for name in (product.product_id, product.sku)}
        return {name: by_name[_canonical(name)] for name in wanted if _canonical(name) in by_name}

    @override
    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        matching = sa.select(products).where(*_conditions(query))
        offset = (query.page - 1) * query.limit
        page = matching.order_by(products.c.sku).limit(query.limit).offset(offset)
        count = sa.select(sa.func.count()).select_from(matching.subquery())
        with postgres.transaction(self._engine) as connection:
            total = connection.execute(count).scalar_one()
            return [_to_product(row) for row in connection.execute(page)], total

    @override
    def add(self, product: Product) -> None:
        values = {column.name: getattr(product, column.name) for column in products.c}
        insert = postgresql.insert(products).values(values).on_conflict_do_nothing()
        with postgres.transaction(self._engine) as connection:
            if connection.execute(insert).rowcount == 0:
                raise SkuExistsError(product.sku)

    @override
    def update(self, product: Product) -> None:
        values = {name: getattr(product, name) for name in EDITABLE_COLUMNS}
        update = sa.update(products).where(products.c.product_id == product.product_id)
        with postgres.transaction(self._engine) as connection:
            connection.execute(update.values(values))

    @override
    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        adjustment = sa.insert(adjustments).values(
            product_id=product_id,
            quantity=quantity,
            reason=reason,
            adjusted_by=by,
            adjusted_at=self._clock(),
        )
        with postgres.transaction(self._engine) as connection:
            stock = self._stock.take(connection, Line(product_id, -quantity))
            if stock is None:
                raise StockBelowZeroError(on_sale=read_stock(connection, product_id))
            if quantity > 0 and stock > MAX_STOCK:
                raise StockAboveMaximumError
            connection.execute(adjustment)
            return stock

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)


def _canonical(name: str) -> str:
    """Return a name as the store spells it: ids in lower case, skus unchanged."""
    return name.lower() if postgres.is_uuid(name) else name


def _conditions(query: ProductQuery) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if query.category:
        conditions.append(products.c.category == query.category)
    if query.text:
        columns = (products.c.title, products.c.description)
        conditions.append(
            sa.or_(*(column.icontains(query.text, autoescape=True) for column in columns))
        )
    return conditions


def _to_product(row: sa.Row[Any]) -> Product:
    return Product(**row._mapping)
