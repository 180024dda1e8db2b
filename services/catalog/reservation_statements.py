"""The statements of reservations. Each way of the usual course of an order is one statement.

RESERVE, COMMIT and RELEASE settle what is usual and change nothing otherwise: then the rules of
the domain decide, in a transaction. What they do is what those rules would do.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.catalog.domain import LOW_STOCK_THRESHOLD, ReservationState
from services.catalog.schema import reservations
from services.common.storage.postgres import under_lock

HELD: sa.ColumnElement[str] = sa.literal_column("'HELD'")
"""Not a parameter: the index of what is held has this condition."""

RESERVE = under_lock(
    "order_id",
    sa.text("""
    WITH locked AS MATERIALIZED (
        SELECT products.product_id, stock, quantity
        FROM unnest(CAST(:product_ids AS uuid[]), CAST(:quantities AS int[]))
            AS line (product_id, quantity) JOIN products USING (product_id)
        ORDER BY products.product_id FOR UPDATE OF products
    ), reserved AS (
        INSERT INTO reservations (order_id, state, expires_at, lines)
        SELECT CAST(:order_id AS uuid), 'HELD', :expires_at, CAST(:lines AS jsonb)
        WHERE cardinality(CAST(:product_ids AS uuid[])) = (
            SELECT count(*) FROM locked WHERE stock >= quantity
            AND (stock <= :low_stock OR stock - quantity > :low_stock)
        )
        ON CONFLICT DO NOTHING RETURNING order_id
    )
    UPDATE products SET stock = locked.stock - quantity FROM locked, reserved
    WHERE products.product_id = locked.product_id
    """).bindparams(low_stock=LOW_STOCK_THRESHOLD),
)
"""Reserves for an order that has no reservation, if all lines are on sale and no stock becomes
low, which would be an event.

The order's lock comes first, then the rows in the order of their ids, as everywhere: so orders
cannot deadlock. The locked rows are the latest ones, whatever was committed while they were waited
for. Those that the update itself reads may be older: so it starts from the stock that is locked.
"""

COMMIT = (
    sa.update(reservations)
    .where(reservations.c.order_id == sa.bindparam("id"), reservations.c.state == HELD)
    .values(state=ReservationState.COMMITTED)
)
"""Commits a reservation that is HELD."""

RELEASE = under_lock(
    "order_id",
    sa.text("""
    WITH released AS (
        UPDATE reservations SET state = 'RELEASED'
        WHERE order_id = CAST(:order_id AS uuid) AND state IN ('HELD', 'COMMITTED')
        RETURNING lines
    ), locked AS MATERIALIZED (
        SELECT products.product_id, stock, quantity FROM released,
            jsonb_to_recordset(lines) AS line (product_id uuid, quantity int)
            JOIN products USING (product_id)
        ORDER BY products.product_id FOR UPDATE OF products
    )
    UPDATE products SET stock = locked.stock + quantity FROM locked
    WHERE products.product_id = locked.product_id
    """),
)
"""Releases a reservation whose units are off sale: they go back."""

_of_order = reservations.c.order_id == sa.bindparam("order_id", type_=reservations.c.order_id.type)

LOAD = under_lock("order_id", sa.select(reservations).where(_of_order).with_for_update())
"""Loads a reservation and locks its row, so that it does not expire while it changes.

The sweeper does not take the lock on the order's name, for it must not wait: a change would then
wait for the row, and the sweeper for products that the change has locked.
"""

_insert = postgresql.insert(reservations)
SAVE = _insert.on_conflict_do_update(index_elements=["order_id"], set_=dict(_insert.excluded))

CLAIM_OVERDUE = (
    sa.select(reservations)
    .where(reservations.c.state == HELD, reservations.c.expires_at <= sa.bindparam("now"))
    .order_by(reservations.c.expires_at)
    .limit(sa.bindparam("limit"))
    .with_for_update(skip_locked=True)
)
"""Locks the oldest overdue reservations that no other transaction has locked."""

_order_ids = sa.bindparam("order_ids", type_=postgresql.ARRAY(sa.Uuid(as_uuid=False)))
OF_ORDERS = sa.select(reservations).where(reservations.c.order_id == sa.any_(_order_ids))
MARK_EXPIRED = (
    sa.update(reservations)
    .where(reservations.c.order_id == sa.any_(_order_ids))
    .values(state=ReservationState.EXPIRED)
)

FIRST_PAGE = sa.select(reservations).order_by(reservations.c.order_id).limit(sa.bindparam("limit"))
PAGE_FROM = FIRST_PAGE.where(
    reservations.c.order_id >= sa.bindparam("order_id", type_=reservations.c.order_id.type)
)
