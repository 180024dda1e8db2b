"""Products in PostgreSQL."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog import low_stock
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
from services.catalog.read_model import ProductReadModel
from services.catalog.schema import adjustments, listings, product_ratings, products
from services.catalog.search_text import build_document
from services.catalog.stock import StockUpdater, read_stock
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.storage import postgres

EDITABLE_COLUMNS = ("title", "description", "category", "price", "image_url")

_ids = sa.bindparam("ids", type_=postgresql.ARRAY(sa.Uuid(as_uuid=False)))
_skus = sa.bindparam("skus", type_=postgresql.ARRAY(sa.Text))
_rated = sa.select(*RATED_COLUMNS).outerjoin_from(products, product_ratings, OF_PRODUCT)
FIND = _rated.where((products.c.product_id == sa.any_(_ids)) | (products.c.sku == sa.any_(_skus)))
ADD = postgresql.insert(products).on_conflict_do_nothing()
UPDATE = (
    sa.update(products)
    .where(products.c.product_id == sa.bindparam("id"))
    .values({name: sa.bindparam(name) for name in EDITABLE_COLUMNS})
)
_listing = postgresql.insert(listings)
LIST = _listing.on_conflict_do_update(index_elements=["product_id"], set_=dict(_listing.excluded))
ADJUST = sa.insert(adjustments)
OPENING, CATALOG = "OPENING_STOCK", "catalog"
"""The reason and the author of a product's first adjustment: all that it was added with."""


class CatalogRepository(Protocol):
    """Stores products. A product's name is its id or its sku."""

    def find(self, name: str) -> Product:
        """Return a product; ProductNotFoundError when there is none."""

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        """Return the products that exist, by the names asked for."""

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
        self,
        engine: sa.Engine,
        *,
        read_model: ProductReadModel | None = None,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._engine = engine
        self._read_model = read_model
        self._clock = clock
        self._stock = StockUpdater(clock=clock, new_id=new_id)

    @override
    def find(self, name: str) -> Product:
        if product := self.find_many([name]).get(name):
            return product
        raise ProductNotFoundError(name)

    @override
    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        if self._read_model:
            return self._read_model.find_many(names, self._load)
        return self._load(names)

    @override
    def add(self, product: Product) -> None:
        values = {column.name: getattr(product, column.name) for column in products.c}
        with postgres.transaction(self._engine) as connection:
            if connection.execute(ADD, values).rowcount == 0:
                raise SkuExistsError(product.sku)
            connection.execute(LIST, _to_listing(product))
            low_stock.record(
                connection,
                product.product_id,
                before=MAX_STOCK,
                after=product.stock,
                now=self._clock(),
            )
            self._record(connection, product.product_id, product.stock, OPENING, CATALOG)

    @override
    def update(self, product: Product) -> None:
        values = {name: getattr(product, name) for name in EDITABLE_COLUMNS}
        with postgres.transaction(self._engine) as connection:
            connection.execute(UPDATE, values | {"id": product.product_id})
            connection.execute(LIST, _to_listing(product))

    @override
    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        with postgres.transaction(self._engine) as connection:
            stock = self._stock.take(connection, Line(product_id, -quantity))
            if stock is None:
                raise StockBelowZeroError(on_sale=read_stock(connection, product_id))
            if quantity > 0 and stock > MAX_STOCK:
                raise StockAboveMaximumError
            self._record(connection, product_id, quantity, reason, by)
            return stock

    def _record(
        self, connection: sa.Connection, product_id: str, quantity: int, reason: str, by: str
    ) -> None:
        """Record an adjustment: all of a product are its stock and what is reserved and sold."""
        adjustment = {
            "product_id": product_id,
            "quantity": quantity,
            "reason": reason,
            "adjusted_by": by,
            "adjusted_at": self._clock(),
        }
        connection.execute(ADJUST, adjustment)

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)

    def _load(self, names: Iterable[str]) -> Mapping[str, Product]:
        wanted = {name: _canonical(name) for name in names}
        ids = [name for name in wanted.values() if postgres.is_uuid(name)]
        skus = [name for name in wanted.values() if not postgres.is_uuid(name)]
        rows = postgres.read(self._engine, FIND, {"ids": ids, "skus": skus})
        found = map(to_product, rows)
        by_name = {name: product for product in found for name in (product.product_id, product.sku)}
        return {name: by_name[known] for name, known in wanted.items() if known in by_name}


def _canonical(name: str) -> str:
    """Return a name as the store spells it: ids in lower case, skus unchanged."""
    return name.lower() if postgres.is_uuid(name) else name


def _to_listing(product: Product) -> dict[str, Any]:
    return {
        "product_id": product.product_id,
        "sku": product.sku,
        "category": product.category,
        "document": build_document(product.title, product.description),
    }
