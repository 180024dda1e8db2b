"""The products whose stock is low, in a table of their own (services/catalog/low_stock.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

LOW_STOCK_THRESHOLD = 5


def upgrade() -> None:
    # A new database has it from the first migration, which creates the tables of now.
    op.create_table(
        "low_stock",
        sa.Column("product_id", sa.Uuid(), sa.ForeignKey("products.product_id"), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_low_stock_since", "low_stock", ["since"], if_not_exists=True)
    fill = sa.text(
        "INSERT INTO low_stock SELECT product_id, now() FROM products WHERE stock <= :most"
        " ON CONFLICT DO NOTHING"
    )
    op.get_bind().execute(fill, {"most": LOW_STOCK_THRESHOLD})
