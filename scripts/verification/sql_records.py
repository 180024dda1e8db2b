"""Records in PostgreSQL, streamed from the server in the order of their order ids; read only."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2

from scripts.verification.facts import Charge, ChargeState, Mailing, ProductFacts, Waiting
from services.catalog.repository import CATALOG, OPENING
from services.orders.reconciliation.records import (
    Payment,
    PaymentState,
    Reservation,
    ReservationState,
)

ROWS_AT_ONCE = 2_000
TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 300
"""A sum over all reservations of a large shop takes its time."""

PAYMENTS = """
SELECT order_id::text, status, amount, refunded_amount, currency, created_at
FROM payments ORDER BY payments.order_id
"""
CHARGES = """
SELECT payments.order_id::text, key, state, sandbox_transactions.amount, settles_at <= now()
FROM payments JOIN sandbox_transactions ON key = payment_id::text ORDER BY payments.order_id
"""
CHARGES_WITHOUT_PAYMENT = """
SELECT '', key, state, sandbox_transactions.amount, settles_at <= now() FROM sandbox_transactions
WHERE state IN ('ACCEPTED', 'CAPTURED')
AND NOT EXISTS (SELECT FROM payments WHERE payment_id::text = key)
"""
RESERVATIONS = """
SELECT order_id::text, state, lines, expires_at FROM reservations ORDER BY reservations.order_id
"""
PRODUCTS = """
WITH off_sale AS (
    SELECT line.product_id, sum(line.quantity) AS units FROM reservations,
        jsonb_to_recordset(lines) AS line (product_id uuid, quantity int)
    WHERE state IN ('HELD', 'COMMITTED') GROUP BY line.product_id
), supplied AS (
    SELECT product_id, sum(quantity) AS units,
        bool_or(reason = %(opening)s AND adjusted_by = %(catalog)s) AS is_whole
    FROM inventory_adjustments GROUP BY product_id
)
SELECT product_id::text, CASE WHEN is_whole THEN supplied.units END, stock,
    coalesce(off_sale.units, 0)
FROM products LEFT JOIN off_sale USING (product_id) LEFT JOIN supplied USING (product_id)
"""
SUMMARIES = """
SELECT facts->>'order_id' COLLATE "C" AS order_id, count(*) FROM notifications
WHERE template = 'order_summary' GROUP BY 1 ORDER BY 1
"""
PROCESSED = "SELECT event_id FROM handled_events WHERE event_id = ANY(%(ids)s)"
CUSTOMERS = """
SELECT user_id, as_of, notifications_enabled FROM clients WHERE user_id = ANY(%(ids)s)
"""
OUTBOX = "SELECT count(*), min(time) FROM outbox"


def read(url: str, query: str, **values: object) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, all of one moment, some thousand at a time."""
    settings = f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s -c timezone=UTC"
    with closing(
        psycopg2.connect(url, connect_timeout=TIMEOUT_SECONDS, options=settings)
    ) as connection:
        connection.set_session(readonly=True)
        with connection.cursor(name="verify") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(query, values)
            yield from cursor


def read_payments(url: str) -> Iterator[Payment]:
    """Yield the payments; one that is about to be closed is in progress."""
    for order_id, status, amount, refunded, currency, created_at in read(url, PAYMENTS):
        yield Payment(
            order_id=order_id,
            state=PaymentState("PENDING" if status == "CLOSING" else status),
            amount=amount,
            refunded=refunded,
            currency=currency,
            created_at=created_at,
        )


def read_charges(url: str, query: str = CHARGES) -> Iterator[Charge]:
    """Yield the transactions of the sandbox provider, whose table only it has."""
    for order_id, key, state, amount, is_due in read(url, query):
        is_charged = state == "CAPTURED" or (state == "ACCEPTED" and is_due)
        refunded = ChargeState.REFUNDED if state == "REFUNDED" else ChargeState.NONE
        yield Charge(
            order_id=order_id,
            key=key,
            state=ChargeState.CHARGED if is_charged else refunded,
            amount=amount,
        )


def read_reservations(url: str) -> Iterator[Reservation]:
    """Yield the reservations of stock."""
    for order_id, state, lines, expires_at in read(url, RESERVATIONS):
        yield Reservation(
            order_id=order_id,
            state=ReservationState(state),
            lines={line["product_id"]: line["quantity"] for line in lines},
            expires_at=expires_at,
        )


def read_products(url: str) -> Iterator[ProductFacts]:
    """Yield the units of each product, all of one moment."""
    rows = read(url, PRODUCTS, opening=OPENING, catalog=CATALOG)
    for product_id, supplied, stock, off_sale in rows:
        yield ProductFacts(product_id=product_id, supplied=supplied, stock=stock, off_sale=off_sale)


def read_summaries(url: str) -> Iterator[Mailing]:
    """Yield how many summaries there are of each order."""
    for order_id, count in read(url, SUMMARIES):
        yield Mailing(order_id=order_id, summaries=count)


def find_processed(url: str, event_ids: Sequence[str]) -> frozenset[str]:
    """Return those of some events that notifications has processed."""
    return frozenset(event_id for (event_id,) in read(url, PROCESSED, ids=list(event_ids)))


def find_customers(url: str, user_ids: Sequence[str]) -> dict[str, tuple[datetime, bool]]:
    """Return when some customers were changed last, and whether they accept mails now."""
    rows = read(url, CUSTOMERS, ids=list(user_ids))
    return {user_id: (as_of, is_enabled) for user_id, as_of, is_enabled in rows}


def read_outbox(url: str, service: str) -> Waiting:
    """Return what waits in the outbox of a service."""
    ((count, oldest),) = read(url, OUTBOX)
    seconds = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return Waiting(where=f"outbox of {service}", count=count, seconds=seconds)
