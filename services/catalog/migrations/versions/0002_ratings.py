"""Ratings, with their average and number on each product."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "products",
        sa.Column("rating_average", sa.Numeric(3, 2), nullable=False, server_default="0"),
    )
    op.add_column(
        "products", sa.Column("rating_count", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "ratings",
        sa.Column("product_id", sa.Uuid(), sa.ForeignKey("products.product_id"), primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("stars", sa.Integer, sa.CheckConstraint("stars BETWEEN 1 AND 5"), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
