"""The language of each user; existing ones get mails in English."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "language",
            sa.Text,
            sa.CheckConstraint("language IN ('fr', 'en')"),
            nullable=False,
            server_default="en",
        ),
    )
