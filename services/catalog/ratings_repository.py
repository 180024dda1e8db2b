"""Ratings in PostgreSQL: one for each customer and product.

The average and the number of a product's ratings are columns of the product, where every
page reads them. They are computed anew from the ratings with each change, so that they
cannot drift.
"""

from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.domain import Rating
from services.catalog.schema import products, ratings
from services.common.clock import Clock, utc_now
from services.common.storage import postgres

RATING_COLUMNS = [ratings.c[name] for name in Rating.__dataclass_fields__]


class RatingsRepository(Protocol):
    """Stores ratings."""

    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        """Store a rating; it replaces an earlier one of the product by the same customer."""


class PostgresRatingsRepository(RatingsRepository):
    """Ratings in PostgreSQL, in the database of the products."""

    def __init__(self, engine: sa.Engine, *, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    @override
    def rate(self, product_id: str, user_id: str, *, stars: int, comment: str) -> Rating:
        now = self._clock()
        key = {"product_id": product_id, "user_id": user_id}
        values = {"stars": stars, "comment": comment, "updated_at": now}
        insert = postgresql.insert(ratings).values(**key, **values, created_at=now)
        upsert = insert.on_conflict_do_update(index_elements=list(key), set_=values)
        with postgres.transaction(self._engine) as connection:
            _lock_product(connection, product_id)
            row = connection.execute(upsert.returning(*RATING_COLUMNS)).one()
            connection.execute(_update_summary(product_id))
        return Rating(**row._mapping)


def _lock_product(connection: sa.Connection, product_id: str) -> None:
    """Serialize the ratings of a product: each summary counts all ratings before it."""
    product = sa.select(products.c.product_id).where(products.c.product_id == product_id)
    connection.execute(product.with_for_update())


def _update_summary(product_id: str) -> sa.Update:
    """Build the statement that writes the average and the number of ratings on a product."""
    of_product = ratings.c.product_id == product_id
    average = sa.select(sa.func.round(sa.func.avg(ratings.c.stars), 2)).where(of_product)
    count = sa.select(sa.func.count()).select_from(ratings).where(of_product)
    return (
        sa.update(products)
        .where(products.c.product_id == product_id)
        .values(rating_average=average.scalar_subquery(), rating_count=count.scalar_subquery())
    )
