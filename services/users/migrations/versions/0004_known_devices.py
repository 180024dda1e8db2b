"""The key that authenticates the tokens of known devices."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    table = op.create_table("device_keys", sa.Column("key", sa.LargeBinary, nullable=False))
    op.bulk_insert(table, [{"key": secrets.token_bytes(32)}])
