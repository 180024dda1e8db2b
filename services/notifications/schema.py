"""The tables of notifications in PostgreSQL, as `migrations` creates them.

Some are stored under older names than the code has: docs/decisions/0010-names.md.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()

customers = sa.Table(
    "clients",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("first_name", sa.Text, nullable=False),
    sa.Column("last_name", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("notifications_enabled", sa.Boolean, nullable=False),
    sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
    # 0 of customers whose events are older than versions.
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("known_since", sa.DateTime(timezone=True), nullable=False),
)

processed_events = sa.Table(
    "handled_events",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column(
        "handled_at", sa.DateTime(timezone=True), key="processed_at", nullable=False, index=True
    ),
)

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("campaign_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("facts", postgresql.JSONB, key="variables", nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    # Customers up to this id, in the order of their ids, have their notification.
    sa.Column("reached_user_id", sa.Text, key="last_user_id", nullable=False, default=""),
)

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("notification_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("audience", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("facts", postgresql.JSONB, key="variables", nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False, default=0),
    sa.Column("language", sa.Text, nullable=False, default=""),
    sa.Column("subject", sa.Text, nullable=False, default=""),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("error", sa.Text, nullable=False, default=""),
    # Empty when older code wrote the row, or without a trace.
    sa.Column("traceparent", sa.Text, nullable=False, server_default=""),
)
