"""Payments, and the transactions of the sandbox provider."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("order_id", sa.Uuid(), primary_key=True),
        sa.Column("payment_id", sa.Uuid(), nullable=False, unique=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("amount", sa.Numeric(10, 2), nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("refunded_amount", sa.Numeric(10, 2), nullable=False),
        sa.Column("decline_reason", sa.Text, nullable=False),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("close_reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("refunded_amount IN (0, amount)", name="refunds_are_whole"),
    )
    op.create_table(
        "sandbox_transactions",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("transaction_id", sa.Text, nullable=False, unique=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount", sa.Numeric(10, 2), nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("settles_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decline_reason", sa.Text, nullable=False),
        sa.Column("refund_key", sa.Text, nullable=False),
    )
