"""Products as rows of PostgreSQL, with the summary of their ratings."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import sqlalchemy as sa

from services.catalog.domain import Product
from services.catalog.schema import product_ratings, products

RATED_COLUMNS = (*products.c, product_ratings.c.stars_sum, product_ratings.c.rating_count)
"""The columns of a product with its ratings."""

OF_PRODUCT = product_ratings.c.product_id == products.c.product_id
"""Joins a product with its ratings, if it has any."""

CENT = Decimal("0.01")
_NAMES = [column.name for column in products.c]


def to_product(row: sa.Row[Any]) -> Product:
    """Build a product from a row of RATED_COLUMNS."""
    *values, stars_sum, count = tuple(row)
    average = (Decimal(stars_sum) / count).quantize(CENT, ROUND_HALF_UP) if count else 0
    return Product(
        **dict(zip(_NAMES, values, strict=True)),
        rating_average=float(average),
        rating_count=count or 0,
    )
