"""What the shop tells its clients and its administrator, and what becomes of it.

A notification is decided on when an event is heard, and worded when it is sent:

    PENDING ----> SENT
     |  ^ \\-----> FAILED     after the last try
     '--'  tried again later, or waits for its client to become known

One that its client does not want (any more) is forgotten: it leaves no trace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

LANGUAGES = ("fr", "en")
DEFAULT_LANGUAGE = "fr"

MAX_EVENT_AGE = timedelta(days=90)
"""How old an event may be when it is told; after that it is too late for a mail about it."""

PROCESSED_EVENT_RETENTION = MAX_EVENT_AGE + timedelta(days=1)
"""How long the id of an event is remembered.

A message can be delivered again at any time: a dead letter waits until somebody sends it on.
While it may still be told, its id is remembered, and afterwards nothing is told of it. So
forgetting an id never leads to a second mail. The day more is for clocks that differ.
"""

SEND_LOG_RETENTION = timedelta(days=400)
"""How long a client can look up what was sent to them: a year, and the season of last year."""

Facts = Mapping[str, Any]
"""What a template needs to know of an event, as JSON has it: amounts and times are strings."""


class Channel(StrEnum):
    """How a notification travels."""

    EMAIL = "EMAIL"
    SMS = "SMS"


class Audience(StrEnum):
    """Who is told. Subscribers are the clients who accept notifications; they come last."""

    CLIENT = "CLIENT"
    ADMIN = "ADMIN"
    SUBSCRIBERS = "SUBSCRIBERS"


class Status(StrEnum):
    """Where a notification stands; see the module's picture."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"


class NotSentError(Exception):
    """A try failed; `cause` says why in one word, and nothing of whom or what it was about."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client, as the users service told of them at `as_of`."""

    user_id: str
    email: str
    first_name: str
    last_name: str
    language: str
    notifications_enabled: bool
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What an event asks to tell, and whom; `user_id` is for one client alone."""

    template: str
    facts: Facts
    channel: Channel = Channel.EMAIL
    audience: Audience = Audience.CLIENT
    user_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """All that an event asks for: a client to be known, notices to be sent."""

    client: Client | None = None
    notices: Sequence[Notice] = ()


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one recipient; `language` and `subject` are empty until it was worded.

    `subject` is the whole text of an SMS. `user_id` is empty for the administrator. While it
    is PENDING it is tried at `due_at`. `error` is why the last try failed.
    """

    notification_id: str
    user_id: str
    audience: Audience
    channel: Channel
    template: str
    facts: Facts
    created_at: datetime
    due_at: datetime
    status: Status = Status.PENDING
    attempt_count: int = 0
    language: str = ""
    subject: str = ""
    sent_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Whom a notification is addressed to, and in which language."""

    email: str
    language: str
    user_id: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Wording:
    """A notification in words; an SMS has its text alone, which is its subject too."""

    language: str
    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a notification is tried, and how long is waited after each failure.

    The last pause is used again when there are more tries than pauses. A client who is not
    known is waited for, without counting tries, until `patience` is over.
    """

    attempts: int
    pauses: Sequence[timedelta]
    patience: timedelta
    client_pause: timedelta = timedelta(seconds=1)

    def pause(self, attempt_count: int) -> timedelta:
        """Return how long to wait after that many tries."""
        return self.pauses[min(attempt_count, len(self.pauses)) - 1]


def is_too_late(event_time: datetime, now: datetime) -> bool:
    """Return whether nobody shall be told any more of what happened then."""
    return now - event_time >= MAX_EVENT_AGE


def choose_language(wanted: str) -> str:
    """Return the language to write in to somebody who speaks `wanted`."""
    return wanted if wanted in LANGUAGES else DEFAULT_LANGUAGE


def is_wanted(notification: Notification, client: Client | None) -> bool:
    """Return whether to send it; a client who is not known yet may want it."""
    if notification.audience is Audience.ADMIN or client is None:
        return True
    return client.notifications_enabled


def address(client: Client) -> Recipient:
    """Return a client as a recipient."""
    return Recipient(
        email=client.email,
        language=choose_language(client.language),
        user_id=client.user_id,
        first_name=client.first_name,
        last_name=client.last_name,
    )


def word(notification: Notification, wording: Wording) -> Notification:
    """Return the notification as the send log shows it."""
    return replace(notification, language=wording.language, subject=wording.subject)


def sent(notification: Notification, now: datetime) -> Notification:
    """Return the notification after it was accepted."""
    return replace(
        notification,
        status=Status.SENT,
        attempt_count=notification.attempt_count + 1,
        sent_at=now,
        error="",
    )


def not_sent(
    notification: Notification, cause: str, policy: RetryPolicy, now: datetime
) -> Notification:
    """Return the notification after a try that failed: due again, or given up."""
    count = notification.attempt_count + 1
    failed = replace(notification, attempt_count=count, error=cause)
    if count >= policy.attempts:
        return replace(failed, status=Status.FAILED)
    return replace(failed, due_at=now + policy.pause(count))


def await_client(notification: Notification, policy: RetryPolicy, now: datetime) -> Notification:
    """Return the notification after its client was not found: due soon, and at last a failure."""
    if now - notification.created_at >= policy.patience:
        return not_sent(notification, "CLIENT_UNKNOWN", policy, now)
    return replace(notification, due_at=now + policy.client_pause)
