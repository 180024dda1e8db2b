"""What lists and searches read of products, and the sum and number of their ratings.

Both have tables of their own: an order changes a product's stock, which writes its row anew. It
should neither copy the words of its description nor wait for those who rate. The columns
`rating_average` and `rating_count` of products stay, unused, for instances of the release before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.catalog.search_text import build_document

revision = "0003"
down_revision = "0002"

BATCH_SIZE = 5_000


def upgrade() -> None:
    _create_listings()
    _create_product_ratings()
    op.drop_index("ix_products_category", "products")


def _create_listings() -> None:
    listings = op.create_table(
        "listings",
        sa.Column("product_id", sa.Uuid(), sa.ForeignKey("products.product_id"), primary_key=True),
        sa.Column("sku", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("document", postgresql.TSVECTOR, nullable=False),
    )
    _fill(op.get_bind(), listings)
    op.create_index("listings_by_sku", "listings", ["sku"])
    op.create_index("listings_by_category", "listings", ["category", "sku"])
    op.create_index("listings_by_word", "listings", ["document"], postgresql_using="gin")


def _fill(connection: sa.Connection, listings: sa.Table) -> None:
    """Insert all products, in batches: a shop may have millions."""
    query = sa.text(
        "SELECT product_id, sku, category, title, description FROM products"
        " WHERE sku > :after ORDER BY sku LIMIT :limit"
    )
    after = ""
    while rows := connection.execute(query, {"after": after, "limit": BATCH_SIZE}).all():
        connection.execute(sa.insert(listings), [_to_listing(row) for row in rows])
        after = rows[-1].sku


def _to_listing(row: sa.Row) -> dict[str, str]:
    return {
        "product_id": row.product_id,
        "sku": row.sku,
        "category": row.category,
        "document": build_document(row.title, row.description),
    }


def _create_product_ratings() -> None:
    op.create_table(
        "product_ratings",
        sa.Column("product_id", sa.Uuid(), sa.ForeignKey("products.product_id"), primary_key=True),
        sa.Column("stars_sum", sa.BigInteger, nullable=False),
        sa.Column("rating_count", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO product_ratings (product_id, stars_sum, rating_count)"
        " SELECT product_id, sum(stars), count(*) FROM ratings GROUP BY product_id"
    )
