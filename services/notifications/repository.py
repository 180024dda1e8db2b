"""Where clients and notifications are kept: PostgreSQL.

An event is remembered in the transaction that does what it asks for, so it is done once,
however often it is delivered. A notification is claimed by moving the time at which it is
due: whoever finds it locked or not due takes another, and if its sender dies it becomes due
again by itself.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.common import postgres
from services.common.clock import NewId, new_id
from services.notifications.domain import (
    Audience,
    Channel,
    Client,
    Effect,
    Notice,
    Notification,
    Status,
)

FAN_OUT_TIMEOUT_MS = 60_000
"""Telling every client takes longer than a statement usually may."""

metadata = sa.MetaData()

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("first_name", sa.Text, nullable=False),
    sa.Column("last_name", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("notifications_enabled", sa.Boolean, nullable=False),
    sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
)

handled_events = sa.Table(
    "handled_events",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
)

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("notification_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("audience", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("facts", postgresql.JSONB, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False, default=0),
    sa.Column("language", sa.Text, nullable=False, default=""),
    sa.Column("subject", sa.Text, nullable=False, default=""),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("error", sa.Text, nullable=False, default=""),
)

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

        A client stays as the latest event tells; its notices become notifications that are
        due now, one for each of those that they are for.
        """

    def claim(self, now: datetime, until: datetime) -> Claim | None:
        """Return what has been due longest and hide it until a time; None when nothing is.

        What goes to all subscribers comes after everything else.
        """

    def save(self, notification: Notification) -> None:
        """Record what became of a notification; what was sent or given up stays so."""

    def forget(self, notification: Notification) -> None:
        """Drop a notification that its client does not want."""

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
                _put_client(connection, effect.client)
            for notice in effect.notices:
                self._add(connection, notice, now)
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

    def _add(self, connection: sa.Connection, notice: Notice, now: datetime) -> None:
        if notice.audience is Audience.SUBSCRIBERS:
            _add_for_subscribers(connection, notice, now)
            return
        values = _values(notice, now) | {
            "notification_id": self._new_id(),
            "user_id": notice.user_id or None,
        }
        connection.execute(sa.insert(notifications).values(values))


def _add_for_subscribers(connection: sa.Connection, notice: Notice, now: datetime) -> None:
    """Write one notification for each client who accepts them, in one statement."""
    connection.execute(sa.text(f"SET LOCAL statement_timeout = {FAN_OUT_TIMEOUT_MS}"))
    same = {
        name: sa.literal(value, notifications.c[name].type)
        for name, value in _values(notice, now).items()
    }
    each = {"notification_id": sa.func.gen_random_uuid(), "user_id": clients.c.user_id}
    chosen = sa.select(*same.values(), *each.values()).where(clients.c.notifications_enabled)
    connection.execute(sa.insert(notifications).from_select([*same, *each], chosen))


def _values(notice: Notice, now: datetime) -> dict[str, Any]:
    return {
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


def _put_client(connection: sa.Connection, client: Client) -> None:
    """Keep a client, unless something newer is known of them."""
    values = asdict(client)
    insert = postgresql.insert(clients).values(values)
    newer = clients.c.as_of <= insert.excluded.as_of
    connection.execute(
        insert.on_conflict_do_update(index_elements=["user_id"], set_=values, where=newer)
    )


def _find_client(connection: sa.Connection, user_id: str | None) -> Client | None:
    query = sa.select(clients).where(clients.c.user_id == user_id)
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
