"""The trace of the event that a notification is about."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    column = sa.Column("traceparent", sa.Text, nullable=False, server_default="")
    op.add_column("notifications", column)
