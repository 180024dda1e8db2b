"""Products in PostgreSQL."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
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
from services.catalog.product_rows import OF_PRODUCT, RATED_COLUMNS, to_product
from services.catalog.schema import adjustments, listings, product_ratings, products
from services.catalog.search_text import build_document
from services.catalog.stock import StockUpdater, read_stock
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.storage import postgres

EDITABLE_COLUMNS = ("title", "description", "category", "price", "image_url")


class CatalogRepository(Protocol):
    """Stores products. A product's name is its id or its sku."""

    def find(self, name: str) -> Product:
        """Return a product with its ratings; ProductNotFoundError when there is none."""

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        """Return the products that exist, without their ratings, by the names asked for."""

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
        query = sa.select(*RATED_COLUMNS).outerjoin_from(products, product_ratings, OF_PRODUCT)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(query.where(_is_named({name}))).one_or_none()
        if row is None:
            raise ProductNotFoundError(name)
        return to_product(row)

    @override
    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        wanted = set(names)
        query = sa.select(products).where(_is_named(wanted))
        with postgres.transaction(self._engine) as connection:
            found = [to_product(row) for row in connection.execute(query)]
        by_name = {name: product for product in found for name in (product.product_id, product.sku)}
        return {name: by_name[_canonical(name)] for name in wanted if _canonical(name) in by_name}

    @override
    def add(self, product: Product) -> None:
        values = {column.name: getattr(product, column.name) for column in products.c}
        insert = postgresql.insert(products).values(values).on_conflict_do_nothing()
        with postgres.transaction(self._engine) as connection:
            if connection.execute(insert).rowcount == 0:
                raise SkuExistsError(product.sku)
            connection.execute(_list(product))

    @override
    def update(self, product: Product) -> None:
        values = {name: getattr(product, name) for name in EDITABLE_COLUMNS}
        update = sa.update(products).where(products.c.product_id == product.product_id)
        with postgres.transaction(self._engine) as connection:
            connection.execute(update.values(values))
            connection.execute(_list(product))

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


def _is_named(names: AbstractSet[str]) -> sa.ColumnElement[bool]:
    ids = {name for name in names if postgres.is_uuid(name)}
    return products.c.product_id.in_(ids) | products.c.sku.in_(names - ids)


def _list(product: Product) -> sa.Insert:
    """Build the statement that lists a product as it is now."""
    values = _to_listing(product)
    insert = postgresql.insert(listings).values(values)
    return insert.on_conflict_do_update(index_elements=["product_id"], set_=values)


def _to_listing(product: Product) -> dict[str, Any]:
    return {
        "product_id": product.product_id,
        "sku": product.sku,
        "category": product.category,
        "document": build_document(product.title, product.description),
    }
