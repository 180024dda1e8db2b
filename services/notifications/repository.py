"""The store of customers and notifications: PostgreSQL.

An event is recorded as processed in the transaction that applies its effect, so it has one
effect, however often it is delivered. A notification is claimed by moving `due_at` into the
future: other senders skip it, and if its sender dies it becomes due again.

A notification to all subscribers is stored as one campaign, and expanded in batches of
customers, in the order of their ids. The last id is stored in the transaction of the batch,
so each customer gets one notification.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from typing_extensions import override

from services.common.clock import NewId, new_id
from services.common.context import current
from services.common.storage import postgres
from services.notifications import statements
from services.notifications.domain import (
    Audience,
    Channel,
    Customer,
    Effect,
    Notification,
    NotificationRequest,
    Status,
)


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
        processed = {"event_id": event_id, "processed_at": now}
        with postgres.transaction(self._engine) as connection:
            if connection.execute(statements.RECORD_EVENT, processed).rowcount == 0:
                return False
            if effect.customer:
                values = asdict(effect.customer) | {"known_since": now}
                connection.execute(statements.UPSERT_CUSTOMER, values)
            for request in effect.requests:
                self._insert(connection, request, now)
        return True

    @override
    def expand_campaign(self, now: datetime, limit: int) -> bool:
        if not postgres.read(self._engine, statements.ANY_CAMPAIGN):
            return False
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(statements.OLDEST_CAMPAIGN).one_or_none()
            if row is None:
                return False
            if user_ids := _next_subscribers(connection, row, limit):
                requests = [_to_request(row, user_id) for user_id in user_ids]
                self._insert_notifications(connection, requests, now)
                progress = {"id": row.campaign_id, "last_user_id": user_ids[-1]}
                connection.execute(statements.ADVANCE_CAMPAIGN, progress)
            else:
                connection.execute(statements.DELETE_CAMPAIGN, {"id": row.campaign_id})
            return True

    @override
    def claim(self, now: datetime, until: datetime) -> Claim | None:
        with postgres.autocommit(self._engine) as connection:
            row = connection.execute(statements.CLAIM, {"now": now, "until": until}).one_or_none()
        if row is None:
            return None
        customer = {name: getattr(row, f"customer_{name}") for name in statements.CUSTOMER}
        is_known = customer["user_id"] is not None
        return Claim(_to_notification(row), Customer(**customer) if is_known else None)

    @override
    def save(self, notification: Notification) -> None:
        values = {name: getattr(notification, name) for name in statements.OUTCOME}
        with postgres.autocommit(self._engine) as connection:
            connection.execute(statements.SAVE, values | {"id": notification.notification_id})

    @override
    def delete(self, notification: Notification) -> None:
        with postgres.autocommit(self._engine) as connection:
            connection.execute(statements.DELETE, {"id": notification.notification_id})

    @override
    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        return self._delete_batch(statements.DELETE_PROCESSED_EVENTS, before, limit)

    @override
    def delete_finished(self, *, before: datetime, limit: int) -> int:
        return self._delete_batch(statements.DELETE_FINISHED, before, limit)

    @override
    def list_by_user(
        self, user_id: str, *, page: int, limit: int
    ) -> tuple[Sequence[Notification], int]:
        ((total,),) = postgres.read(self._engine, statements.COUNT_BY_USER, {"user_id": user_id})
        chosen = {"user_id": user_id, "limit": limit, "offset": (page - 1) * limit}
        rows = postgres.read(self._engine, statements.LIST_BY_USER, chosen)
        return list(map(_to_notification, rows)), total

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)

    def _insert(
        self, connection: sa.Connection, request: NotificationRequest, now: datetime
    ) -> None:
        if request.audience is Audience.SUBSCRIBERS:
            values = {name: getattr(request, name) for name in ("channel", "template", "variables")}
            connection.execute(statements.ADD_CAMPAIGN, values | {"created_at": now})
        else:
            self._insert_notifications(connection, [request], now)

    def _insert_notifications(
        self, connection: sa.Connection, requests: Sequence[NotificationRequest], now: datetime
    ) -> None:
        rows = [_values(request, now) | {"notification_id": self._new_id()} for request in requests]
        connection.execute(statements.ADD_NOTIFICATION, rows)

    def _delete_batch(self, statement: sa.Delete, before: datetime, limit: int) -> int:
        """Delete rows that are not locked, and return how many."""
        with postgres.autocommit(self._engine) as connection:
            return connection.execute(statement, {"before": before, "limit": limit}).rowcount


def _next_subscribers(connection: sa.Connection, campaign: sa.Row, limit: int) -> Sequence[str]:
    """Return the next user ids of a campaign, sorted; empty when it is complete."""
    reached = {"created_at": campaign.created_at, "last_user_id": campaign.last_user_id}
    found = connection.execute(statements.NEXT_SUBSCRIBERS, reached | {"limit": limit})
    return found.scalars().all()


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
        "traceparent": current().traceparent or "",
    }


def _to_notification(row: sa.Row) -> Notification:
    values = {name: getattr(row, name) for name in statements.NOTIFICATION}
    return Notification(
        **values
        | {
            "user_id": row.user_id or "",
            "audience": Audience(row.audience),
            "channel": Channel(row.channel),
            "status": Status(row.status),
        }
    )
