"""Fakes of the store, the mail server and the SMS provider, and builders of test data."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from google.protobuf.message import Message
from mamie_rosa.events.v1 import events_pb2
from typing_extensions import override

from services.common.clock import new_id
from services.common.context import current
from services.common.messaging.events import CloudEvent, build_event
from services.common.rpc.timestamps import to_timestamp
from services.notifications.domain import (
    Audience,
    Channel,
    Customer,
    Effect,
    Notification,
    NotificationRequest,
    NotSentError,
    RetryPolicy,
    Status,
)
from services.notifications.mail import Mail, Mailer
from services.notifications.repository import Claim, NotificationsRepository
from services.notifications.sms import SmsProvider

SHOP_URL = "https://shop.example"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = RetryPolicy(
    max_attempts=3,
    delays=[timedelta(seconds=1), timedelta(seconds=5)],
    unknown_customer_timeout=timedelta(minutes=10),
)
LINE = events_pb2.OrderLine(
    product_id="p1", sku="prod_001", title="Croquettes", quantity=2, unit_price="12.90"
)


def build_customer(**changes: Any) -> Customer:
    """Build a customer who accepts notifications, with some fields replaced."""
    customer = Customer(
        user_id="marie",
        email="marie@example.org",
        first_name="Marie",
        last_name="Petit",
        language="fr",
        notifications_enabled=True,
        as_of=NOW,
    )
    return replace(customer, **changes)


def build_notification(**changes: Any) -> Notification:
    """Build a pending notification to that customer, with some fields replaced."""
    notification = Notification(
        notification_id=new_id(),
        user_id="marie",
        audience=Audience.CUSTOMER,
        channel=Channel.EMAIL,
        template="order_shipped",
        variables={"order_id": "order-1", "tracking_number": "TRK42"},
        created_at=NOW,
        due_at=NOW,
    )
    return replace(notification, **changes)


def user_created(**changes: Any) -> events_pb2.UserCreated:
    """Build the UserCreated message of that customer, with some fields replaced."""
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


def order_created(**changes: Any) -> events_pb2.OrderCreated:
    """Build the OrderCreated message of that customer, with some fields replaced."""
    data = events_pb2.OrderCreated(
        order_id="order-1",
        user_id="marie",
        items=[LINE],
        total_amount="25.80",
        discount="2.58",
        final_amount="23.22",
        currency="EUR",
        placed_time=to_timestamp(NOW),
    )
    data.MergeFrom(events_pb2.OrderCreated(**changes))
    return data


def cloud_event(data: Message, *, time: datetime = NOW) -> CloudEvent:
    """Build an event on the bus around a message."""
    return build_event(data, source="test", subject="subject", now=time, new_id=new_id)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class InMemoryNotificationsRepository(NotificationsRepository):
    """Customers and notifications in dictionaries."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self._processed: dict[str, datetime] = {}
        self._known_since: dict[str, datetime] = {}
        self._campaigns: list[tuple[NotificationRequest, datetime, str]] = []
        self._notifications: dict[str, Notification] = {}

    @override
    def apply(self, event_id: str, effect: Effect, now: datetime) -> bool:
        if event_id in self._processed:
            return False
        self._processed[event_id] = now
        if effect.customer:
            self._known_since.setdefault(effect.customer.user_id, now)
            known = self.customers.get(effect.customer.user_id, effect.customer)
            if effect.customer.is_newer_than(known):
                self.customers[known.user_id] = effect.customer
        for request in effect.requests:
            if request.audience is Audience.SUBSCRIBERS:
                self._campaigns.append((request, now, ""))
            else:
                self._add(request, request.user_id, now)
        return True

    @override
    def expand_campaign(self, now: datetime, limit: int) -> bool:
        if not self._campaigns:
            return False
        request, created_at, last_user_id = self._campaigns.pop(0)
        following = sorted(
            customer.user_id
            for customer in self.customers.values()
            if customer.notifications_enabled
            and self._known_since[customer.user_id] <= created_at
            and customer.user_id > last_user_id
        )[:limit]
        for user_id in following:
            self._add(request, user_id, now)
        if following:
            self._campaigns.insert(0, (request, created_at, following[-1]))
        return True

    def _add(self, request: NotificationRequest, user_id: str, now: datetime) -> None:
        added = Notification(
            notification_id=new_id(),
            user_id=user_id,
            audience=request.audience,
            channel=request.channel,
            template=request.template,
            variables=request.variables,
            created_at=now,
            due_at=now,
            traceparent=current().traceparent or "",
        )
        self._notifications[added.notification_id] = added

    @override
    def claim(self, now: datetime, until: datetime) -> Claim | None:
        due = [n for n in self._pending() if n.due_at <= now]
        if not due:
            return None
        first = min(due, key=lambda n: (n.audience is Audience.SUBSCRIBERS, n.due_at))
        claimed = replace(first, due_at=until)
        self._notifications[first.notification_id] = claimed
        return Claim(claimed, self.customers.get(first.user_id))

    @override
    def save(self, notification: Notification) -> None:
        if any(n.notification_id == notification.notification_id for n in self._pending()):
            self._notifications[notification.notification_id] = notification

    @override
    def delete(self, notification: Notification) -> None:
        if any(n.notification_id == notification.notification_id for n in self._pending()):
            del self._notifications[notification.notification_id]

    @override
    def delete_processed_events(self, *, before: datetime, limit: int) -> int:
        old = [event_id for event_id, at in self._processed.items() if at < before][:limit]
        for event_id in old:
            del self._processed[event_id]
        return len(old)

    @override
    def delete_finished(self, *, before: datetime, limit: int) -> int:
        old = [
            n.notification_id
            for n in self._notifications.values()
            if n.created_at < before and n.status is not Status.PENDING
        ][:limit]
        for notification_id in old:
            del self._notifications[notification_id]
        return len(old)

    @override
    def list_by_user(
        self, user_id: str, *, page: int, limit: int
    ) -> tuple[Sequence[Notification], int]:
        theirs = [n for n in self._notifications.values() if n.user_id == user_id]
        theirs.sort(key=lambda n: n.notification_id)
        theirs.sort(key=lambda n: n.created_at, reverse=True)
        return theirs[(page - 1) * limit : page * limit], len(theirs)

    @override
    def ping(self) -> None:
        pass

    def _pending(self) -> list[Notification]:
        return [n for n in self._notifications.values() if n.status is Status.PENDING]


class FakeMailer(Mailer):
    """Records the mails; fails with `failure`, an error code, while it is set."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.failure = ""
        self.close_count = 0

    @override
    def send(self, mail: Mail) -> None:
        if self.failure:
            raise NotSentError(self.failure)
        self.mails.append(message_from_bytes(mail.content, policy=default))

    @override
    def close(self) -> None:
        self.close_count += 1


class FakeSmsProvider(SmsProvider):
    """Records the SMS."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    @override
    def send(self, key: str, *, user_id: str, text: str) -> None:
        self.sent.append((key, user_id, text))
