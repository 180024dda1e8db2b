"""Ratings in PostgreSQL: one for each customer and product.

The sum and the number of a product's stars are kept in a row of `product_ratings`, so that a
rating costs the same however many there are. Those who rate a product wait for each other on
that row; orders, which change the row of the product, do not wait for them.
"""

from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.catalog.domain import Rating
from services.catalog.schema import product_ratings, ratings
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
            _lock_summary(connection, product_id)
            earlier = connection.execute(_find_stars(product_id, user_id)).scalar_one_or_none()
            row = connection.execute(upsert.returning(*RATING_COLUMNS)).one()
            connection.execute(_update_summary(product_id, stars, earlier))
        return Rating(**row._mapping)


def _lock_summary(connection: sa.Connection, product_id: str) -> None:
    """Serialize the ratings of a product, from its first on."""
    none = {"product_id": product_id, "stars_sum": 0, "rating_count": 0}
    insert = postgresql.insert(product_ratings).values(none).on_conflict_do_nothing()
    connection.execute(insert)
    summary = sa.select(product_ratings.c.product_id)
    of_product = product_ratings.c.product_id == product_id
    connection.execute(summary.where(of_product).with_for_update())


def _find_stars(product_id: str, user_id: str) -> sa.Select[Any]:
    return sa.select(ratings.c.stars).where(
        ratings.c.product_id == product_id, ratings.c.user_id == user_id
    )


def _update_summary(product_id: str, stars: int, earlier: int | None) -> sa.Update:
    """Build the statement that counts a rating, instead of an earlier one by the customer."""
    is_first = earlier is None
    return (
        sa.update(product_ratings)
        .where(product_ratings.c.product_id == product_id)
        .values(
            stars_sum=product_ratings.c.stars_sum + stars - (earlier or 0),
            rating_count=product_ratings.c.rating_count + int(is_first),
        )
    )
