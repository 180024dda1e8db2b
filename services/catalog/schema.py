"""The tables of the catalog in PostgreSQL, as `migrations` creates them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.common.storage.outbox import outbox_table

metadata = sa.MetaData()

products = sa.Table(
    "products",
    metadata,
    sa.Column("product_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("sku", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("price", sa.Numeric(10, 2), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("stock", sa.Integer, sa.CheckConstraint("stock >= 0"), nullable=False),
    sa.Column("image_url", sa.Text, nullable=False),
    # No order changes these columns: its new row versions do not touch the indexes.
    sa.Index("products_by_price", "price", "sku"),
    sa.Index("products_by_category_and_price", "category", "price", "sku"),
)

listings = sa.Table(
    "listings",
    metadata,
    sa.Column("product_id", sa.ForeignKey("products.product_id"), primary_key=True),
    sa.Column("sku", sa.Text, nullable=False, index=True),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("document", postgresql.TSVECTOR, nullable=False),
    sa.Index("listings_by_category", "category", "sku"),
    sa.Index("listings_by_word", "document", postgresql_using="gin"),
)
"""What lists and searches read of each product: narrow rows that no order changes."""

low_stock = sa.Table(
    "low_stock",
    metadata,
    sa.Column("product_id", sa.ForeignKey("products.product_id"), primary_key=True),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False, index=True),
)
"""The products of which few units are on sale, since they crossed the threshold."""

product_ratings = sa.Table(
    "product_ratings",
    metadata,
    sa.Column("product_id", sa.ForeignKey("products.product_id"), primary_key=True),
    sa.Column("stars_sum", sa.BigInteger, nullable=False),
    sa.Column("rating_count", sa.Integer, nullable=False),
)
"""The sum and the number of the ratings of each product that has any."""

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("lines", postgresql.JSONB, nullable=False),
    sa.Index(
        "reservations_held_by_expiry", "expires_at", postgresql_where=sa.text("state = 'HELD'")
    ),
)

adjustments = sa.Table(
    "inventory_adjustments",
    metadata,
    sa.Column("adjustment_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("product_id", sa.ForeignKey("products.product_id"), nullable=False, index=True),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("adjusted_by", sa.Text, nullable=False),
    sa.Column("adjusted_at", sa.DateTime(timezone=True), nullable=False),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("product_id", sa.ForeignKey("products.product_id"), primary_key=True),
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("stars", sa.Integer, sa.CheckConstraint("stars BETWEEN 1 AND 5"), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)

outbox = outbox_table(metadata)
