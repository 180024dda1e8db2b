"""Products as rows of PostgreSQL, with or without the summary of their ratings."""

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


def to_product(row: sa.Row[Any]) -> Product:
    """Build a product from a row of `products`, or of RATED_COLUMNS."""
    values = dict(row._mapping)
    stars_sum, count = values.pop("stars_sum", None), values.pop("rating_count", None) or 0
    average = (Decimal(stars_sum) / count).quantize(CENT, ROUND_HALF_UP) if count else 0
    return Product(**values, rating_average=float(average), rating_count=count)
