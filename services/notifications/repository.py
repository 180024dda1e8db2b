"""The store of customers and notifications: PostgreSQL.

An event is recorded as processed in the transaction that applies its effect, so it has one
effect, however often it is delivered. A notification is claimed by moving `due_at` into the
future: other senders skip it, and if its sender dies it becomes due again.

A notification to all subscribers is stored as one campaign, and expanded in batches of
customers, in the order of their ids. The last id is stored in the transaction of the batch,
so each customer gets one notification.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.common.clock import NewId, new_id
from services.common.storage import postgres
from services.notifications.domain import (
    Audience,
    Channel,
    Customer,
    Effect,
    Notification,
    NotificationRequest,
    Status,
)
from services.notifications.schema import campaigns, customers, notifications, processed_events

OUTCOME = ("status", "attempt_count", "language", "subject", "due_at", "sent_at", "error")
"""The columns that an attempt to send changes."""


@dataclass(frozen=True)
class Claim:
    """A notification that one sender has claimed, and its customer if known."""

    notification: Notification
    customer: Customer | None


class NotificationsRepository(Protocol):
    """Stores customers and notifications."""

    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        """Apply the effect of an event; False when the event was processed before.

        A customer is replaced unless a newer event was applied. A request becomes a
        notification that is due now, or a campaign when it is for all subscribers.
        """

    def expand_campaign(self, now: datetime, limit: int) -> bool:
        """Create notifications of the oldest campaign for its next `limit` subscribers.

        Subscribers are those who were customers when it was created and accept notifications
        now. False when no campaign is left that is not locked by another sender.
        """

    def claim(self, now: datetime, until: datetime) -> Claim | None:
        """Return the notification that is due longest and hide it until a time, if there is one.

        Notifications of campaigns come last.
        """

    def save(self, notification: Notification) -> None:
        """Store the outcome of an attempt; a notification that is not PENDING stays as it is."""

    def delete(self, notification: Notification) -> None:
        """Delete a notification that is PENDING."""

    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` ids of events processed before a time, and return how many."""

    def delete_finished(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` sent or failed notifications created before a time.

        Returns how many.
        """

    def list_by_user(
        self, user_id: str, *, page: int, limit: int
    ) -> tuple[Sequence[Notification], int]:
        """Return a page (from 1) of a customer's notifications, newest first, and the total."""

    def ping(self) -> None:
        """Raise when the store is unavailable."""


class PostgresNotificationsRepository(NotificationsRepository):
    """Customers and notifications in PostgreSQL."""

    def __init__(self, engine: sa.Engine, *, new_id: NewId = new_id) -> None:
        self._engine = engine
        self._new_id = new_id

    @override
    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        processed = postgresql.insert(processed_events).values(event_id=event_id, processed_at=now)
        with postgres.transaction(self._engine) as connection:
            if connection.execute(processed.on_conflict_do_nothing()).rowcount == 0:
                return False
            if effect.customer:
                _upsert_customer(connection, effect.customer, now)
            for request in effect.requests:
                self._insert(connection, request, now)
        return True

    @override
    def expand_campaign(self, now: datetime, limit: int) -> bool:
        oldest = sa.select(campaigns).order_by(campaigns.c.campaign_id).limit(1)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(oldest.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return False
            is_oldest = campaigns.c.campaign_id == row.campaign_id
            if user_ids := _next_subscribers(connection, row, limit):
                requests = [_to_request(row, user_id) for user_id in user_ids]
                self._insert_notifications(connection, requests, now)
                progress = {"last_user_id": user_ids[-1]}
                connection.execute(sa.update(campaigns).where(is_oldest).values(progress))
            else:
                connection.execute(sa.delete(campaigns).where(is_oldest))
            return True

    @override
    def claim(self, now: datetime, until: datetime) -> Claim | None:
        pending = notifications.c.status == Status.PENDING
        due = sa.select(notifications.c.notification_id)
        due = due.where(pending, notifications.c.due_at <= now)
        due = due.order_by(_is_of_campaign(), notifications.c.due_at)
        first = due.limit(1).with_for_update(skip_locked=True).scalar_subquery()
        hide = sa.update(notifications).where(notifications.c.notification_id == first)
        hide = hide.values(due_at=until)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(hide.returning(notifications)).one_or_none()
            if row is None:
                return None
            return Claim(_to_notification(row), _find_customer(connection, row.user_id))

    @override
    def save(self, notification: Notification) -> None:
        values = {name: getattr(notification, name) for name in OUTCOME}
        statement = sa.update(notifications).where(_is_pending(notification)).values(values)
        with postgres.transaction(self._engine) as connection:
            connection.execute(statement)

    @override
    def delete(self, notification: Notification) -> None:
        with postgres.transaction(self._engine) as connection:
            connection.execute(sa.delete(notifications).where(_is_pending(notification)))

    @override
    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        return self._delete_batch(processed_events, processed_events.c.processed_at < before, limit)

    @override
    def delete_finished(self, *, before: datetime, limit: int) -> int:
        finished = notifications.c.status != sa.literal_column(f"'{Status.PENDING}'")
        old = notifications.c.created_at < before
        return self._delete_batch(notifications, finished & old, limit)

    @override
    def list_by_user(
        self, user_id: str, *, page: int, limit: int
    ) -> tuple[Sequence[Notification], int]:
        is_theirs = notifications.c.user_id == user_id
        newest = (notifications.c.created_at.desc(), notifications.c.notification_id)
        listed = sa.select(notifications).where(is_theirs).order_by(*newest)
        listed = listed.limit(limit).offset((page - 1) * limit)
        count = sa.select(sa.func.count()).select_from(notifications).where(is_theirs)
        with postgres.transaction(self._engine) as connection:
            total = connection.execute(count).scalar_one()
            return [_to_notification(row) for row in connection.execute(listed)], total

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)

    def _insert(
        self, connection: sa.Connection, request: NotificationRequest, now: datetime
    ) -> None:
        if request.audience is Audience.SUBSCRIBERS:
            values = {name: getattr(request, name) for name in ("channel", "template", "variables")}
            connection.execute(sa.insert(campaigns).values(created_at=now, **values))
        else:
            self._insert_notifications(connection, [request], now)

    def _insert_notifications(
        self, connection: sa.Connection, requests: Sequence[NotificationRequest], now: datetime
    ) -> None:
        rows = [_values(request, now) | {"notification_id": self._new_id()} for request in requests]
        connection.execute(sa.insert(notifications), rows)

    def _delete_batch(self, table: sa.Table, condition: sa.ColumnElement[bool], limit: int) -> int:
        """Delete rows that are not locked, and return how many."""
        (key,) = table.primary_key
        chosen = sa.select(key).where(condition).limit(limit).with_for_update(skip_locked=True)
        with postgres.transaction(self._engine) as connection:
            return connection.execute(sa.delete(table).where(key.in_(chosen))).rowcount


def _next_subscribers(connection: sa.Connection, campaign: sa.Row, limit: int) -> Sequence[str]:
    """Return the next user ids of a campaign, sorted; empty when it is complete."""
    query = sa.select(customers.c.user_id).where(
        customers.c.notifications_enabled,
        customers.c.known_since <= campaign.created_at,
        customers.c.user_id > campaign.last_user_id,
    )
    return connection.execute(query.order_by(customers.c.user_id).limit(limit)).scalars().all()


def _to_request(campaign: sa.Row, user_id: str) -> NotificationRequest:
    return NotificationRequest(
        template=campaign.template,
        variables=campaign.variables,
        channel=Channel(campaign.channel),
        audience=Audience.SUBSCRIBERS,
        user_id=user_id,
    )


def _values(request: NotificationRequest, now: datetime) -> dict[str, Any]:
    return {
        "user_id": request.user_id or None,
        "audience": request.audience,
        "channel": request.channel,
        "template": request.template,
        "variables": request.variables,
        "status": Status.PENDING,
        "created_at": now,
        "due_at": now,
    }


def _is_of_campaign() -> sa.ColumnElement[bool]:
    """Return the condition as the index spells it."""
    return notifications.c.audience == sa.literal_column(f"'{Audience.SUBSCRIBERS}'")


def _is_pending(notification: Notification) -> sa.ColumnElement[bool]:
    is_same = notifications.c.notification_id == notification.notification_id
    return is_same & (notifications.c.status == Status.PENDING)


def _upsert_customer(connection: sa.Connection, customer: Customer, now: datetime) -> None:
    """Store a customer, unless the stored one is newer."""
    values = asdict(customer)
    insert = postgresql.insert(customers).values(known_since=now, **values)
    known = sa.tuple_(customers.c.version, customers.c.as_of)
    is_newer = known <= sa.tuple_(insert.excluded.version, insert.excluded.as_of)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["user_id"], set_=values, where=is_newer)
    )


def _find_customer(connection: sa.Connection, user_id: str | None) -> Customer | None:
    columns = [customers.c[field.name] for field in fields(Customer)]
    query = sa.select(*columns).where(customers.c.user_id == user_id)
    row = connection.execute(query).one_or_none()
    return Customer(**row._mapping) if row else None


def _to_notification(row: sa.Row) -> Notification:
    values = {field.name: row._mapping[field.name] for field in fields(Notification)}
    return Notification(
        **values
        | {
            "user_id": row.user_id or "",
            "audience": Audience(row.audience),
            "channel": Channel(row.channel),
            "status": Status(row.status),
        }
    )
