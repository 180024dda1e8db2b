"""The version of each account, which orders the events about it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("users", sa.Column("version", sa.BigInteger, nullable=False, server_default="1"))
