"""Campaigns, and the indexes of the retention job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    since = sa.Column(
        "known_since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    )
    op.add_column("clients", since)
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("facts", postgresql.JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reached_user_id", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("ix_handled_events_handled_at", "handled_events", ["handled_at"])
    op.create_index(
        "notifications_finished",
        "notifications",
        ["created_at"],
        postgresql_where=sa.text("status <> 'PENDING'"),
    )
