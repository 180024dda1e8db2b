"""Guarded updates of stock in PostgreSQL: never negative, no unit sold twice.

Every unit goes off sale by `UPDATE ... WHERE stock >= quantity`, in the transaction of the
caller, which also records why.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2

from services.catalog import low_stock
from services.catalog.domain import Line, OutOfStockError, crosses_low_stock
from services.catalog.schema import outbox, products
from services.common.clock import Clock, NewId
from services.common.messaging.events import build_event
from services.common.storage.outbox import add_to_outbox

_PRODUCT_ID = sa.bindparam("id", type_=products.c.product_id.type)
_QUANTITY = sa.bindparam("quantity", type_=sa.Integer)
TAKE = (
    sa.update(products)
    .where(products.c.product_id == _PRODUCT_ID, products.c.stock >= _QUANTITY)
    .values(stock=products.c.stock - _QUANTITY)
    .returning(products.c.stock, products.c.sku, products.c.title)
)
READ_STOCK = sa.select(products.c.stock).where(products.c.product_id == _PRODUCT_ID)


class StockUpdater:
    """Takes units off sale and puts them back; publishes StockLow through the outbox."""

    def __init__(self, *, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id

    def take_all(self, connection: sa.Connection, lines: Sequence[Line]) -> None:
        """Take every line off sale; OutOfStockError names all lines that are short.

        Rows are locked in the order of their product ids, so that orders cannot deadlock.
        """
        ordered = sorted(lines, key=lambda line: line.product_id)
        short = [line.product_id for line in ordered if self.take(connection, line) is None]
        if short:
            raise OutOfStockError({name: read_stock(connection, name) for name in short})

    def take(self, connection: sa.Connection, line: Line) -> int | None:
        """Take units off sale and return the new stock; None when there are too few.

        A negative quantity goes back on sale.
        """
        values = {"id": line.product_id, "quantity": line.quantity}
        row = connection.execute(TAKE, values).one_or_none()
        if row is None:
            return None
        before = row.stock + line.quantity
        if crosses_low_stock(before=before, after=row.stock):
            self._add_stock_low_event(connection, line.product_id, row)
        low_stock.record(
            connection, line.product_id, before=before, after=row.stock, now=self._clock()
        )
        return row.stock

    def _add_stock_low_event(
        self, connection: sa.Connection, product_id: str, row: sa.Row[tuple[int, str, str]]
    ) -> None:
        event = build_event(
            events_pb2.StockLow(
                product_id=product_id, sku=row.sku, title=row.title, quantity=row.stock
            ),
            source="catalog",
            subject=product_id,
            now=self._clock(),
            new_id=self._new_id,
        )
        add_to_outbox(connection, outbox, event)


def read_stock(connection: sa.Connection, product_id: str) -> int:
    """Return the units of a product on sale; 0 for an unknown product."""
    return connection.execute(READ_STOCK, {"id": product_id}).scalar_one_or_none() or 0
