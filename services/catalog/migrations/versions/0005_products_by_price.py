"""Indexes for lists of products in the order of their price, built while the shop is open."""

from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in (
            ("products_by_price", ["price", "sku"]),
            ("products_by_category_and_price", ["category", "price", "sku"]),
        ):
            op.create_index(
                name, "products", columns, postgresql_concurrently=True, if_not_exists=True
            )
