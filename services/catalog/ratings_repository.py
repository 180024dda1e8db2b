"""Where ratings are kept: PostgreSQL, one of each client for each product.

What the ratings of a product come to stands on the product itself, where every page reads
it; it is counted anew from the ratings with each change, so that it cannot drift from them.
"""

from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.catalog.domain import Rating
from services.catalog.schema import products, ratings
from services.common.clock import Clock, utc_now
from services.common.storage import postgres

ANSWERED = [ratings.c[name] for name in Rating.__dataclass_fields__]


class RatingsRepository(Protocol):
    """Keeps what clients think of products."""

    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        """Keep a rating; it replaces the one that the client gave the product before."""


class PostgresRatingsRepository:
    """Ratings in PostgreSQL, beside the products."""

    def __init__(self, engine: sa.Engine, *, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        """Keep a rating; it replaces the one that the client gave the product before."""
        now = self._clock()
        said = {"stars": stars, "comment": comment, "updated_at": now}
        key = {"product_id": product_id, "user_id": user_id}
        insert = postgresql.insert(ratings).values(**key, **said, created_at=now)
        upsert = insert.on_conflict_do_update(index_elements=list(key), set_=said)
        with postgres.transaction(self._engine) as connection:
            _lock_product(connection, product_id)
            row = connection.execute(upsert.returning(*ANSWERED)).one()
            connection.execute(_count(product_id))
        return Rating(**row._mapping)


def _lock_product(connection: sa.Connection, product_id: str) -> None:
    """Let the raters of a product come one after the other: each counts all before."""
    product = sa.select(products.c.product_id).where(products.c.product_id == product_id)
    connection.execute(product.with_for_update())


def _count(product_id: str) -> sa.Update:
    """Return the statement that writes on a product what its ratings come to."""
    given = ratings.c.product_id == product_id
    average = sa.select(sa.func.round(sa.func.avg(ratings.c.stars), 2)).where(given)
    count = sa.select(sa.func.count()).select_from(ratings).where(given)
    return (
        sa.update(products)
        .where(products.c.product_id == product_id)
        .values(rating_average=average.scalar_subquery(), rating_count=count.scalar_subquery())
    )
