"""The version of each customer's account: the highest one is the newest."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "clients", sa.Column("version", sa.BigInteger, nullable=False, server_default="0")
    )
