"""Stores of services, read behind their backs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from services.common.storage import postgres
from tests.support.running_stack import RunningStack

Payment = tuple[str, str]
"""(status, amount)."""


@contextmanager
def open_store(stack: RunningStack, service: str) -> Iterator[sa.Engine]:
    """Yield an engine on the PostgreSQL store of a service."""
    engine = postgres.create_engine(stack.store_url(service), pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


def payments_of(stack: RunningStack, order_id: str) -> Sequence[Payment]:
    """Return (status, amount) of every payment that is stored for an order."""
    query = sa.text("SELECT status, amount::text FROM payments WHERE order_id = :order_id")
    with open_store(stack, "payments") as engine, engine.connect() as connection:
        rows = connection.execute(query, {"order_id": order_id})
        return [(row.status, row.amount) for row in rows]
