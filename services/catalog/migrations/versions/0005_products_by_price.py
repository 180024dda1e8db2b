"""Indexes for lists of products in the order of their price.

No order changes their columns, so that a new version of a row does not touch them.
"""

from alembic import op

revision = "0005"
down_revision = "0004"


COLUMNS = {
    "products_by_price": ["price", "sku"],
    "products_by_category_and_price": ["category", "price", "sku"],
}


def upgrade() -> None:
    for name, columns in COLUMNS.items():
        # A new database has them from the first migration, which creates the tables of now.
        op.create_index(name, "products", columns, if_not_exists=True)
