"""Where clients and notifications are kept: PostgreSQL.

An event is remembered in the transaction that does what it asks for, so it is done once,
however often it is delivered. A notification is claimed by moving the time at which it is
due: whoever finds it locked or not due takes another, and if its sender dies it becomes due
again by itself.

What goes to all subscribers is kept as one campaign, however many they are. It becomes
notifications a few clients at a time, in the order of their ids; how far it got is written
down with them, so each client gets one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.common.clock import NewId, new_id
from services.common.storage import postgres
from services.notifications.domain import (
    Audience,
    Channel,
    Client,
    Effect,
    Notice,
    Notification,
    Status,
)
from services.notifications.schema import campaigns, clients, handled_events, notifications

OUTCOME = ("status", "attempt_count", "language", "subject", "due_at", "sent_at", "error")
"""What sending changes in a notification."""


@dataclass(frozen=True)
class Claim:
    """A notification that is its sender's alone for a while, and its client if known."""

    notification: Notification
    client: Client | None


class NotificationsRepository(Protocol):
    """Keeps clients and notifications."""

    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        """Do what an event asks for, once; tell whether this was the first time.

        A client stays as the latest event tells. A notice becomes a notification that is due
        now, or a campaign when it is for all subscribers.
        """

    def continue_campaign(self, now: datetime, limit: int) -> bool:
        """Make notifications of the oldest campaign, for the next `limit` subscribers at most.

        Subscribers are those who were clients when it began and accept notifications now.
        Tells whether there is a campaign, other than those that somebody else continues.
        """

    def claim(self, now: datetime, until: datetime) -> Claim | None:
        """Return what has been due longest and hide it until a time; None when nothing is.

        What goes to all subscribers comes after everything else.
        """

    def save(self, notification: Notification) -> None:
        """Record what became of a notification; what was sent or given up stays so."""

    def forget(self, notification: Notification) -> None:
        """Drop a notification that its client does not want."""

    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        """Forget events that were handled before a time, at most `limit`; return how many."""

    def delete_finished(self, *, before: datetime, limit: int) -> int:
        """Forget notifications of before a time that were sent or given up; return how many.

        At most `limit`.
        """

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Notification], int]:
        """Return a page (from 1) of a client's notifications, newest first, and their number."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresNotificationsRepository:
    """Clients and notifications in PostgreSQL."""

    def __init__(self, engine: sa.Engine, *, new_id: NewId = new_id) -> None:
        self._engine = engine
        self._new_id = new_id

    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        """Do what an event asks for, once; tell whether this was the first time."""
        handled = postgresql.insert(handled_events).values(event_id=event_id, handled_at=now)
        with postgres.transaction(self._engine) as connection:
            if connection.execute(handled.on_conflict_do_nothing()).rowcount == 0:
                return False
            if effect.client:
                _put_client(connection, effect.client, now)
            for notice in effect.notices:
                self._keep(connection, notice, now)
        return True

    def continue_campaign(self, now: datetime, limit: int) -> bool:
        """Make notifications of the oldest campaign, for the next `limit` subscribers at most."""
        oldest = sa.select(campaigns).order_by(campaigns.c.campaign_id).limit(1)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(oldest.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return False
            one = campaigns.c.campaign_id == row.campaign_id
            if user_ids := _next_subscribers(connection, row, limit):
                self._add(connection, [_to_notice(row, user_id) for user_id in user_ids], now)
                reached = {"reached_user_id": user_ids[-1]}
                connection.execute(sa.update(campaigns).where(one).values(reached))
            else:
                connection.execute(sa.delete(campaigns).where(one))
            return True

    def claim(self, now: datetime, until: datetime) -> Claim | None:
        """Return what has been due longest and hide it until a time; None when nothing is."""
        pending = notifications.c.status == Status.PENDING
        due = sa.select(notifications.c.notification_id)
        due = due.where(pending, notifications.c.due_at <= now)
        due = due.order_by(_is_last(), notifications.c.due_at)
        first = due.limit(1).with_for_update(skip_locked=True).scalar_subquery()
        hide = sa.update(notifications).where(notifications.c.notification_id == first)
        hide = hide.values(due_at=until)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(hide.returning(notifications)).one_or_none()
            if row is None:
                return None
            return Claim(_to_notification(row), _find_client(connection, row.user_id))

    def save(self, notification: Notification) -> None:
        """Record what became of a notification; what was sent or given up stays so."""
        values = {name: getattr(notification, name) for name in OUTCOME}
        statement = sa.update(notifications).where(_is_open(notification)).values(values)
        with postgres.transaction(self._engine) as connection:
            connection.execute(statement)

    def forget(self, notification: Notification) -> None:
        """Drop a notification that its client does not want."""
        with postgres.transaction(self._engine) as connection:
            connection.execute(sa.delete(notifications).where(_is_open(notification)))

    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        """Forget events that were handled before a time, at most `limit`; return how many."""
        return self._delete(handled_events, handled_events.c.handled_at < before, limit)

    def delete_finished(self, *, before: datetime, limit: int) -> int:
        """Forget notifications of before a time that were sent or given up; return how many."""
        finished = notifications.c.status != sa.literal_column(f"'{Status.PENDING}'")
        return self._delete(notifications, finished & (notifications.c.created_at < before), limit)

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Notification], int]:
        """Return a page (from 1) of a client's notifications, newest first, and their number."""
        theirs = notifications.c.user_id == user_id
        newest = (notifications.c.created_at.desc(), notifications.c.notification_id)
        listed = sa.select(notifications).where(theirs).order_by(*newest)
        listed = listed.limit(limit).offset((page - 1) * limit)
        count = sa.select(sa.func.count()).select_from(notifications).where(theirs)
        with postgres.transaction(self._engine) as connection:
            total = connection.execute(count).scalar_one()
            return [_to_notification(row) for row in connection.execute(listed)], total

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        postgres.ping(self._engine)

    def _keep(self, connection: sa.Connection, notice: Notice, now: datetime) -> None:
        if notice.audience is Audience.SUBSCRIBERS:
            same = {name: getattr(notice, name) for name in ("channel", "template", "facts")}
            connection.execute(sa.insert(campaigns).values(created_at=now, **same))
        else:
            self._add(connection, [notice], now)

    def _add(self, connection: sa.Connection, notices: Sequence[Notice], now: datetime) -> None:
        rows = [_values(notice, now) | {"notification_id": self._new_id()} for notice in notices]
        connection.execute(sa.insert(notifications), rows)

    def _delete(self, table: sa.Table, condition: sa.ColumnElement[bool], limit: int) -> int:
        """Delete rows that meet a condition, and that nobody else works on; return how many."""
        (key,) = table.primary_key
        chosen = sa.select(key).where(condition).limit(limit).with_for_update(skip_locked=True)
        with postgres.transaction(self._engine) as connection:
            return connection.execute(sa.delete(table).where(key.in_(chosen))).rowcount


def _next_subscribers(connection: sa.Connection, campaign: sa.Row, limit: int) -> Sequence[str]:
    """Return the ids of whom a campaign tells next, in their order; empty when it is over."""
    query = sa.select(clients.c.user_id).where(
        clients.c.notifications_enabled,
        clients.c.known_since <= campaign.created_at,
        clients.c.user_id > campaign.reached_user_id,
    )
    return connection.execute(query.order_by(clients.c.user_id).limit(limit)).scalars().all()


def _to_notice(campaign: sa.Row, user_id: str) -> Notice:
    return Notice(
        template=campaign.template,
        facts=campaign.facts,
        channel=Channel(campaign.channel),
        audience=Audience.SUBSCRIBERS,
        user_id=user_id,
    )


def _values(notice: Notice, now: datetime) -> dict[str, Any]:
    return {
        "user_id": notice.user_id or None,
        "audience": notice.audience,
        "channel": notice.channel,
        "template": notice.template,
        "facts": notice.facts,
        "status": Status.PENDING,
        "created_at": now,
        "due_at": now,
    }


def _is_last() -> sa.ColumnElement[bool]:
    """Tell what comes after everything else; spelled as the index is."""
    return notifications.c.audience == sa.literal_column(f"'{Audience.SUBSCRIBERS}'")


def _is_open(notification: Notification) -> sa.ColumnElement[bool]:
    one = notifications.c.notification_id == notification.notification_id
    return one & (notifications.c.status == Status.PENDING)


def _put_client(connection: sa.Connection, client: Client, now: datetime) -> None:
    """Keep a client, unless something newer is known of them."""
    values = asdict(client)
    insert = postgresql.insert(clients).values(known_since=now, **values)
    newer = clients.c.as_of <= insert.excluded.as_of
    connection.execute(
        insert.on_conflict_do_update(index_elements=["user_id"], set_=values, where=newer)
    )


def _find_client(connection: sa.Connection, user_id: str | None) -> Client | None:
    told = [clients.c[field.name] for field in fields(Client)]
    query = sa.select(*told).where(clients.c.user_id == user_id)
    row = connection.execute(query).one_or_none()
    return Client(**row._mapping) if row else None


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
