"""Where products and reservations are kept: PostgreSQL, by guarded updates.

Stock never goes below zero and is never sold twice: every unit leaves by
`UPDATE ... WHERE stock >= quantity`, in the transaction that records who took it, and
rows are locked in the order of their product ids, so orders cannot deadlock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2
from sqlalchemy.dialects import postgresql

from services.catalog.domain import (
    Change,
    Line,
    OutOfStockError,
    Product,
    ProductNotFoundError,
    Reservation,
    ReservationState,
    SkuExistsError,
    StockBelowZeroError,
    became_low,
)
from services.catalog.schema import adjustments, outbox, products, reservations
from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import build_event
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox

Decide = Callable[[Reservation | None], Change]
"""Given what an order holds, returns what it shall hold."""


@dataclass(frozen=True, kw_only=True)
class ProductQuery:
    """Which products to list: page from 1, limit from 1; empty filters match all."""

    page: int
    limit: int
    category: str = ""
    text: str = ""


class CatalogRepository(Protocol):
    """Keeps products and reservations. Names of products are ids or skus."""

    def find(self, name: str) -> Product:
        """Return a product; ProductNotFoundError without one."""

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        """Return the products that exist, by the names asked for."""

    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        """Return a page of products by sku, and how many match in all."""

    def add(self, product: Product) -> None:
        """Add a product; SkuExistsError when its sku is taken."""

    def update(self, product: Product) -> None:
        """Replace a product's page and price; its stock and ratings stay."""

    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        """Add a signed quantity and return what is on sale; StockBelowZeroError."""

    def change_reservation(self, order_id: str, decide: Decide) -> Reservation:
        """Apply a decision to what an order holds; OutOfStockError changes nothing."""

    def expired_orders(self, now: datetime, limit: int) -> Sequence[str]:
        """Return orders whose hold is over, oldest first."""

    def reservations_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        """Return reservations by the id of their order, from an order on; "" is before all."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresCatalogRepository:
    """The catalog in PostgreSQL."""

    def __init__(
        self, engine: sa.Engine, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id

    def find(self, name: str) -> Product:
        """Return a product; ProductNotFoundError without one."""
        if product := self.find_many([name]).get(name):
            return product
        raise ProductNotFoundError(name)

    def find_many(self, names: Iterable[str]) -> Mapping[str, Product]:
        """Return the products that exist, by the names asked for."""
        wanted = set(names)
        ids = {name for name in wanted if postgres.is_uuid(name)}
        query = sa.select(products).where(
            products.c.product_id.in_(ids) | products.c.sku.in_(wanted - ids)
        )
        with postgres.transaction(self._engine) as connection:
            found = [_to_product(row) for row in connection.execute(query)]
        by_name = {name: product for product in found for name in (product.product_id, product.sku)}
        return {name: by_name[_canonical(name)] for name in wanted if _canonical(name) in by_name}

    def search(self, query: ProductQuery) -> tuple[Sequence[Product], int]:
        """Return a page of products by sku, and how many match in all."""
        matching = sa.select(products).where(*_conditions(query))
        page = matching.order_by(products.c.sku).limit(query.limit)
        page = page.offset((query.page - 1) * query.limit)
        count = sa.select(sa.func.count()).select_from(matching.subquery())
        with postgres.transaction(self._engine) as connection:
            total = connection.execute(count).scalar_one()
            return [_to_product(row) for row in connection.execute(page)], total

    def add(self, product: Product) -> None:
        """Add a product; SkuExistsError when its sku is taken."""
        values = {column.name: getattr(product, column.name) for column in products.c}
        insert = postgresql.insert(products).values(values).on_conflict_do_nothing()
        with postgres.transaction(self._engine) as connection:
            if connection.execute(insert).rowcount == 0:
                raise SkuExistsError(product.sku)

    def update(self, product: Product) -> None:
        """Replace a product's page and price; its stock and ratings stay."""
        changeable = ("title", "description", "category", "price", "image_url")
        values = {name: getattr(product, name) for name in changeable}
        one = products.c.product_id == product.product_id
        with postgres.transaction(self._engine) as connection:
            connection.execute(sa.update(products).where(one).values(values))

    def adjust(self, product_id: str, quantity: int, *, reason: str, by: str) -> int:
        """Add a signed quantity and return what is on sale; StockBelowZeroError."""
        with postgres.transaction(self._engine) as connection:
            on_sale = self._take(connection, Line(product_id, -quantity))
            if on_sale is None:
                raise StockBelowZeroError(on_sale=_stock(connection, product_id))
            connection.execute(
                sa.insert(adjustments).values(
                    product_id=product_id,
                    quantity=quantity,
                    reason=reason,
                    adjusted_by=by,
                    adjusted_at=self._clock(),
                )
            )
            return on_sale

    def change_reservation(self, order_id: str, decide: Decide) -> Reservation:
        """Apply a decision to what an order holds; OutOfStockError changes nothing."""
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, order_id)
            change = decide(_load_reservation(connection, order_id))
            self._take_all(connection, change.taken)
            _save_reservation(connection, change.reservation)
            return change.reservation

    def expired_orders(self, now: datetime, limit: int) -> Sequence[str]:
        """Return orders whose hold is over, oldest first."""
        held = reservations.c.state == ReservationState.HELD
        query = sa.select(reservations.c.order_id).where(held, reservations.c.expires_at < now)
        with postgres.transaction(self._engine) as connection:
            ordered = query.order_by(reservations.c.expires_at).limit(limit)
            return connection.execute(ordered).scalars().all()

    def reservations_from(self, order_id: str, limit: int) -> Sequence[Reservation]:
        """Return reservations by the id of their order, from an order on; "" is before all."""
        query = sa.select(reservations).order_by(reservations.c.order_id).limit(limit)
        if order_id:
            query = query.where(reservations.c.order_id >= order_id)
        with postgres.transaction(self._engine) as connection:
            return [_to_reservation(row) for row in connection.execute(query)]

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        postgres.ping(self._engine)

    def _take_all(self, connection: sa.Connection, lines: Sequence[Line]) -> None:
        """Take every line off sale, or raise OutOfStockError with all that are short."""
        in_order = sorted(lines, key=lambda line: line.product_id)
        short = [line for line in in_order if self._take(connection, line) is None]
        if short:
            raise OutOfStockError({x.product_id: _stock(connection, x.product_id) for x in short})

    def _take(self, connection: sa.Connection, line: Line) -> int | None:
        """Take units off sale (put back when negative); return what is left, None if short."""
        enough = (products.c.product_id == line.product_id) & (products.c.stock >= line.quantity)
        statement = (
            sa.update(products)
            .where(enough)
            .values(stock=products.c.stock - line.quantity)
            .returning(products.c.stock, products.c.sku, products.c.title)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        if became_low(before=row.stock + line.quantity, after=row.stock):
            self._tell_stock_low(connection, line.product_id, row)
        return row.stock

    def _tell_stock_low(self, connection: sa.Connection, product_id: str, row: sa.Row) -> None:
        told = events_pb2.StockLow(
            product_id=product_id, sku=row.sku, title=row.title, quantity=row.stock
        )
        event = build_event(
            told, source="catalog", subject=product_id, now=self._clock(), new_id=self._new_id
        )
        add_to_outbox(connection, outbox, event)


def _canonical(name: str) -> str:
    """Return a name as the store spells it: ids in lower case, skus as they are."""
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


def _to_product(row: sa.Row) -> Product:
    return Product(**row._mapping)


def _stock(connection: sa.Connection, product_id: str) -> int:
    query = sa.select(products.c.stock).where(products.c.product_id == product_id)
    return connection.execute(query).scalar_one_or_none() or 0


def _load_reservation(connection: sa.Connection, order_id: str) -> Reservation | None:
    query = sa.select(reservations).where(reservations.c.order_id == order_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _to_reservation(row)


def _to_reservation(row: sa.Row) -> Reservation:
    return Reservation(
        order_id=row.order_id,
        state=ReservationState(row.state),
        expires_at=row.expires_at,
        lines=[Line(**line) for line in row.lines],
    )


def _save_reservation(connection: sa.Connection, reservation: Reservation) -> None:
    values = {
        "order_id": reservation.order_id,
        "state": reservation.state,
        "expires_at": reservation.expires_at,
        "lines": [asdict(line) for line in reservation.lines],
    }
    insert = postgresql.insert(reservations).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["order_id"], set_=values))
