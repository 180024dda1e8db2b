"""Notifications: the messages of the shop to its customers and its administrator.

A notification is created when an event is consumed, and rendered when it is sent:

    PENDING ----> SENT
     |  ^ \\-----> FAILED     after the last attempt
     '--'  retried later, or waits until its customer is known

A notification to a customer who has opted out is deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.common.languages import DEFAULT_LANGUAGE, Language

MAX_EVENT_AGE = timedelta(days=90)
"""From this age on, an event causes no notification."""

PROCESSED_EVENT_RETENTION = MAX_EVENT_AGE + timedelta(days=1)
"""How long the id of a processed event is kept.

A message can be redelivered at any time: a dead letter waits until an operator redrives it.
The id is kept while the event may cause notifications, so a redelivery never causes a second
mail. The additional day allows for clock skew.
"""

SEND_LOG_RETENTION = timedelta(days=400)
"""How long customers see what was sent to them: a year, and the season of the year before."""

TemplateVariables = Mapping[str, Any]
"""The variables of a template, as JSON: amounts and times are strings."""


class Channel(StrEnum):
    """How a notification is sent."""

    EMAIL = "EMAIL"
    SMS = "SMS"


class Audience(StrEnum):
    """Who gets a notification. Subscribers are the customers who accept notifications."""

    CUSTOMER = "CLIENT"  # as it is stored
    ADMIN = "ADMIN"
    SUBSCRIBERS = "SUBSCRIBERS"


class Status(StrEnum):
    """State of a notification; see the diagram of the module."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"


class NotSentError(Exception):
    """An attempt to send failed; `cause` is a code such as SMTP_451, without personal data."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Customer:
    """A customer, as the users service published them at `as_of`.

    The highest `version` is the newest, whatever the clocks say. It is 0 in events of before
    versions; among those `as_of` decides.
    """

    user_id: str
    email: str
    first_name: str
    last_name: str
    language: str
    notifications_enabled: bool
    as_of: datetime
    version: int = 0

    def is_newer_than(self, known: "Customer") -> bool:
        """Return whether this replaces what is known of the customer."""
        return (self.version, self.as_of) >= (known.version, known.as_of)


@dataclass(frozen=True, kw_only=True)
class NotificationRequest:
    """A notification that an event causes; `user_id` is set for a single customer."""

    template: str
    variables: TemplateVariables
    channel: Channel = Channel.EMAIL
    audience: Audience = Audience.CUSTOMER
    user_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of an event: a customer to store, notifications to send."""

    customer: Customer | None = None
    requests: Sequence[NotificationRequest] = ()


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one recipient; `language` and `subject` are empty until it is rendered.

    `subject` is the whole text of an SMS. `user_id` is empty for the administrator. While
    PENDING it is sent at `due_at`. `error` is the cause of the last failed attempt. `traceparent`
    is the trace of the event that it is about, empty without one.
    """

    notification_id: str
    user_id: str
    audience: Audience
    channel: Channel
    template: str
    variables: TemplateVariables
    created_at: datetime
    due_at: datetime
    status: Status = Status.PENDING
    attempt_count: int = 0
    language: str = ""
    subject: str = ""
    sent_at: datetime | None = None
    error: str = ""
    traceparent: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """The address of a notification, and its language."""

    email: str
    language: Language
    user_id: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A rendered notification; an SMS has one text, which is its subject too."""

    language: Language
    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often sending is attempted, and the delay after each failure.

    The last delay repeats when there are more attempts than delays. A customer who is not
    known yet is awaited, without counting attempts, for `unknown_customer_timeout`.
    """

    max_attempts: int
    delays: Sequence[timedelta]
    unknown_customer_timeout: timedelta
    unknown_customer_delay: timedelta = timedelta(seconds=1)

    def delay_after(self, attempt_count: int) -> timedelta:
        """Return the delay after that many attempts."""
        return self.delays[min(attempt_count, len(self.delays)) - 1]


def is_expired(event_time: datetime, now: datetime) -> bool:
    """Return whether an event is too old to cause notifications."""
    return now - event_time >= MAX_EVENT_AGE


def choose_language(wanted: str) -> Language:
    """Return the wanted language if the shop writes in it, else the default one."""
    try:
        return Language(wanted)
    except ValueError:
        return DEFAULT_LANGUAGE


def should_send(notification: Notification, customer: Customer | None) -> bool:
    """Return whether the recipient accepts it; a customer who is not known yet may."""
    if notification.audience is Audience.ADMIN or customer is None:
        return True
    return customer.notifications_enabled


def to_recipient(customer: Customer) -> Recipient:
    """Build the recipient of a notification to a customer."""
    return Recipient(
        email=customer.email,
        language=choose_language(customer.language),
        user_id=customer.user_id,
        first_name=customer.first_name,
        last_name=customer.last_name,
    )


def record_content(notification: Notification, content: Content) -> Notification:
    """Return the notification with the language and the subject that the send log shows."""
    return replace(notification, language=content.language, subject=content.subject)


def record_success(notification: Notification, now: datetime) -> Notification:
    """Return the notification after the mail server or SMS provider accepted it."""
    return replace(
        notification,
        status=Status.SENT,
        attempt_count=notification.attempt_count + 1,
        sent_at=now,
        error="",
    )


def record_failure(
    notification: Notification, cause: str, policy: RetryPolicy, now: datetime
) -> Notification:
    """Return the notification after a failed attempt: due again, or FAILED after the last."""
    count = notification.attempt_count + 1
    failed = replace(notification, attempt_count=count, error=cause)
    if count >= policy.max_attempts:
        return replace(failed, status=Status.FAILED)
    return replace(failed, due_at=now + policy.delay_after(count))


def await_customer(notification: Notification, policy: RetryPolicy, now: datetime) -> Notification:
    """Return the notification of an unknown customer: due soon, failed after the timeout."""
    if now - notification.created_at >= policy.unknown_customer_timeout:
        return record_failure(notification, "CUSTOMER_UNKNOWN", policy, now)
    return replace(notification, due_at=now + policy.unknown_customer_delay)
