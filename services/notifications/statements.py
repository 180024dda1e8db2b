"""The statements of customers and notifications; each is built once."""

from dataclasses import fields

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.notifications.domain import Audience, Customer, Notification, Status
from services.notifications.schema import campaigns, customers, notifications, processed_events

OUTCOME = ("status", "attempt_count", "language", "subject", "due_at", "sent_at", "error")
"""The columns that an attempt to send changes."""
CUSTOMER = [field.name for field in fields(Customer)]
NOTIFICATION = [field.name for field in fields(Notification)]

RECORD_EVENT = postgresql.insert(processed_events).on_conflict_do_nothing()
ADD_NOTIFICATION = sa.insert(notifications)
ADD_CAMPAIGN = sa.insert(campaigns)

_customer = postgresql.insert(customers)
UPSERT_CUSTOMER = _customer.on_conflict_do_update(
    index_elements=["user_id"],
    set_={name: _customer.excluded[name] for name in CUSTOMER},
    where=sa.tuple_(customers.c.version, customers.c.as_of)
    <= sa.tuple_(_customer.excluded.version, _customer.excluded.as_of),
)
"""Stores a customer, unless the stored one is newer."""

# Conditions as the indexes spell them.
_IS_OF_CAMPAIGN = notifications.c.audience == sa.literal_column(f"'{Audience.SUBSCRIBERS}'")
_IS_FINISHED = notifications.c.status != sa.literal_column(f"'{Status.PENDING}'")

_next = (
    sa.select(notifications.c.notification_id)
    .where(notifications.c.status == Status.PENDING, notifications.c.due_at <= sa.bindparam("now"))
    .order_by(_IS_OF_CAMPAIGN, notifications.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_claimed = (
    sa.update(notifications)
    .where(notifications.c.notification_id == _next)
    .values(due_at=sa.bindparam("until"))
    .returning(*(notifications.c[name] for name in NOTIFICATION))
    .cte("claimed")
)
CLAIM = sa.select(
    *(_claimed.c[name] for name in NOTIFICATION),
    *(customers.c[name].label(f"customer_{name}") for name in CUSTOMER),
).join_from(_claimed, customers, _claimed.c.user_id == customers.c.user_id, isouter=True)
"""Hides the notification that is due longest, and returns it with its customer."""

_is_pending = (notifications.c.notification_id == sa.bindparam("id")) & (
    notifications.c.status == Status.PENDING
)
SAVE = (
    sa.update(notifications)
    .where(_is_pending)
    .values({name: sa.bindparam(name) for name in OUTCOME})
)
DELETE = sa.delete(notifications).where(_is_pending)

ANY_CAMPAIGN = sa.select(campaigns.c.campaign_id).limit(1)
OLDEST_CAMPAIGN = (
    sa.select(campaigns)
    .order_by(campaigns.c.campaign_id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_is_campaign = campaigns.c.campaign_id == sa.bindparam("id")
ADVANCE_CAMPAIGN = (
    sa.update(campaigns).where(_is_campaign).values(last_user_id=sa.bindparam("last_user_id"))
)
DELETE_CAMPAIGN = sa.delete(campaigns).where(_is_campaign)
NEXT_SUBSCRIBERS = (
    sa.select(customers.c.user_id)
    .where(
        customers.c.notifications_enabled,
        customers.c.known_since <= sa.bindparam("created_at"),
        customers.c.user_id > sa.bindparam("last_user_id"),
    )
    .order_by(customers.c.user_id)
    .limit(sa.bindparam("limit"))
)

_is_theirs = notifications.c.user_id == sa.bindparam("user_id")
COUNT_BY_USER = sa.select(sa.func.count()).select_from(notifications).where(_is_theirs)
LIST_BY_USER = (
    sa.select(*(notifications.c[name] for name in NOTIFICATION))
    .where(_is_theirs)
    .order_by(notifications.c.created_at.desc(), notifications.c.notification_id)
    .limit(sa.bindparam("limit"))
    .offset(sa.bindparam("offset"))
)


def _delete_old(table: sa.Table, condition: sa.ColumnElement[bool]) -> sa.Delete:
    """Build the statement that deletes a batch of rows that are not locked."""
    (key,) = table.primary_key
    chosen = sa.select(key).where(condition).limit(sa.bindparam("limit"))
    return sa.delete(table).where(key.in_(chosen.with_for_update(skip_locked=True)))


_before = sa.bindparam("before", type_=sa.DateTime(timezone=True))
DELETE_PROCESSED_EVENTS = _delete_old(processed_events, processed_events.c.processed_at < _before)
DELETE_FINISHED = _delete_old(notifications, _IS_FINISHED & (notifications.c.created_at < _before))
