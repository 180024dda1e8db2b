"""The tables of accounts, failed sign-ins and the outbox."""

import sqlalchemy as sa

from services.common.storage.outbox import outbox_table

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False, unique=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("first_name", sa.Text, nullable=False),
    sa.Column("last_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, sa.CheckConstraint("role IN ('customer', 'admin')"), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column(
        "language",
        sa.Text,
        sa.CheckConstraint("language IN ('fr', 'en')"),
        nullable=False,
        # Of accounts that are older than the column; new ones always say theirs.
        server_default="en",
    ),
    # Raised by each change of the profile, under the row's lock.
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
)

preferences = sa.Table(
    "user_preferences",
    metadata,
    sa.Column("user_id", sa.ForeignKey("users.user_id"), primary_key=True),
    sa.Column("animal_type", sa.Text, nullable=False),
    sa.Column("notifications_enabled", sa.Boolean, nullable=False),
)

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    # Of the key of a throttle, not the email itself: most failing emails belong to no customer.
    sa.Column("email_digest", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False, index=True),
)

outbox = outbox_table(metadata)
