"""Clients and notifications in memory, and carriers that do as they are told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from mamie_rosa.events.v1 import events_pb2

from services.common.clock import new_id
from services.common.messaging.events import build_event
from services.notifications.domain import (
    Audience,
    Channel,
    Client,
    Effect,
    Notice,
    Notification,
    NotSentError,
    RetryPolicy,
    Status,
)
from services.notifications.repository import Claim

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = RetryPolicy(
    attempts=3,
    pauses=[timedelta(seconds=1), timedelta(seconds=5)],
    patience=timedelta(minutes=10),
)
LINE = events_pb2.OrderLine(
    product_id="p1", sku="prod_001", title="Croquettes", quantity=2, unit_price="12.90"
)


def stamp(moment: datetime) -> Timestamp:
    """Return a time as messages have it."""
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def build_client(**changes) -> Client:
    """Return a client who accepts notifications, changed as told."""
    client = Client(
        user_id="marie",
        email="marie@example.org",
        first_name="Marie",
        last_name="Petit",
        language="fr",
        notifications_enabled=True,
        as_of=NOW,
    )
    return replace(client, **changes)


def build_notification(**changes) -> Notification:
    """Return a notification that waits to be sent to that client, changed as told."""
    notification = Notification(
        notification_id=new_id(),
        user_id="marie",
        audience=Audience.CLIENT,
        channel=Channel.EMAIL,
        template="order_shipped",
        facts={"order_id": "order-1", "tracking_number": "TRK42"},
        created_at=NOW,
        due_at=NOW,
    )
    return replace(notification, **changes)


def user_created(**changes) -> events_pb2.UserCreated:
    """Return the event of that client's account, changed as told."""
    values: dict[str, Any] = {
        "user_id": "marie",
        "email": "marie@example.org",
        "first_name": "Marie",
        "last_name": "Petit",
        "animal_type": "cat",
        "notifications_enabled": True,
        "language": "fr",
    }
    return events_pb2.UserCreated(**values | changes)


def order_created(**changes) -> events_pb2.OrderCreated:
    """Return the event of an order of that client, changed as told."""
    data = events_pb2.OrderCreated(
        order_id="order-1",
        user_id="marie",
        items=[LINE],
        total_amount="25.80",
        discount="2.58",
        final_amount="23.22",
        currency="EUR",
        placed_time=stamp(NOW),
    )
    data.MergeFrom(events_pb2.OrderCreated(**changes))
    return data


def cloud_event(data, *, time=NOW):
    """Return an event on the bus around a message."""
    return build_event(data, source="test", subject="subject", now=time, new_id=new_id)


class ManualClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class InMemoryNotificationsRepository:
    """Clients and notifications in dictionaries."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self._handled: dict[str, datetime] = {}
        self._known_since: dict[str, datetime] = {}
        self._campaigns: list[tuple[Notice, datetime, str]] = []
        self._notifications: dict[str, Notification] = {}

    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        if event_id in self._handled:
            return False
        self._handled[event_id] = now
        if effect.client:
            self._known_since.setdefault(effect.client.user_id, now)
            known = self.clients.get(effect.client.user_id, effect.client)
            if known.as_of <= effect.client.as_of:
                self.clients[known.user_id] = effect.client
        for notice in effect.notices:
            if notice.audience is Audience.SUBSCRIBERS:
                self._campaigns.append((notice, now, ""))
            else:
                self._add(notice, notice.user_id, now)
        return True

    def continue_campaign(self, now: datetime, limit: int) -> bool:
        if not self._campaigns:
            return False
        notice, began, reached = self._campaigns.pop(0)
        following = sorted(
            client.user_id
            for client in self.clients.values()
            if client.notifications_enabled
            and self._known_since[client.user_id] <= began
            and client.user_id > reached
        )[:limit]
        for user_id in following:
            self._add(notice, user_id, now)
        if following:
            self._campaigns.insert(0, (notice, began, following[-1]))
        return True

    def _add(self, notice, user_id, now) -> None:
        added = Notification(
            notification_id=new_id(),
            user_id=user_id,
            audience=notice.audience,
            channel=notice.channel,
            template=notice.template,
            facts=notice.facts,
            created_at=now,
            due_at=now,
        )
        self._notifications[added.notification_id] = added

    def claim(self, now: datetime, until: datetime) -> Claim | None:
        due = [n for n in self._open() if n.due_at <= now]
        if not due:
            return None
        first = min(due, key=lambda n: (n.audience is Audience.SUBSCRIBERS, n.due_at))
        claimed = replace(first, due_at=until)
        self._notifications[first.notification_id] = claimed
        return Claim(claimed, self.clients.get(first.user_id))

    def save(self, notification: Notification) -> None:
        if any(n.notification_id == notification.notification_id for n in self._open()):
            self._notifications[notification.notification_id] = notification

    def forget(self, notification: Notification) -> None:
        if any(n.notification_id == notification.notification_id for n in self._open()):
            del self._notifications[notification.notification_id]

    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        old = [event_id for event_id, at in self._handled.items() if at < before][:limit]
        for event_id in old:
            del self._handled[event_id]
        return len(old)

    def delete_finished(self, *, before: datetime, limit: int) -> int:
        old = [
            n.notification_id
            for n in self._notifications.values()
            if n.created_at < before and n.status is not Status.PENDING
        ][:limit]
        for notification_id in old:
            del self._notifications[notification_id]
        return len(old)

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Notification], int]:
        theirs = [n for n in self._notifications.values() if n.user_id == user_id]
        theirs.sort(key=lambda n: n.notification_id)
        theirs.sort(key=lambda n: n.created_at, reverse=True)
        return theirs[(page - 1) * limit : page * limit], len(theirs)

    def ping(self) -> None:
        pass

    def _open(self) -> list[Notification]:
        return [n for n in self._notifications.values() if n.status is Status.PENDING]


class ListMailer:
    """A mail server that keeps what it takes; it refuses while `refusing` says why."""

    def __init__(self) -> None:
        self.mails: list = []
        self.refusing = ""
        self.closed = 0

    def send(self, mail) -> None:
        if self.refusing:
            raise NotSentError(self.refusing)
        self.mails.append(mail)

    def close(self) -> None:
        self.closed += 1


class ListSms:
    """A provider that keeps what it takes."""

    def __init__(self) -> None:
        self.sent: list = []

    def send(self, key: str, *, user_id: str, text: str) -> None:
        self.sent.append((key, user_id, text))
