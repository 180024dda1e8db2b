"""Sends notifications that are due, and deletes expired records."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from email.headerregistry import Address

import structlog
from prometheus_client import Counter

from services.common.background import BackgroundLoop
from services.common.clock import Clock, utc_now
from services.common.context import CallContext, use
from services.common.threads.priority import yield_to_calls
from services.common.tracing.spans import ORDER_ID, outgoing, valid_id
from services.common.tracing.trace_context import accept
from services.notifications import domain
from services.notifications.domain import (
    Audience,
    Channel,
    Content,
    Notification,
    NotSentError,
    Recipient,
    RetryPolicy,
)
from services.notifications.mail import Mailer, build_mail
from services.notifications.rendering import Renderer
from services.notifications.repository import Claim, NotificationsRepository
from services.notifications.sms import SmsProvider

CAMPAIGN_BATCH_SIZE = 100
"""Notifications of a campaign that are created at once; anything else due waits that long."""
DELETE_BATCH_SIZE = 1_000
WINDOW_SECONDS = 0.5
LINGER_SECONDS = 1.0
"""How long the connection to the mail server is kept while there is nothing to send."""

SENT = Counter(
    "mamie_notifications",
    "Attempts to send: sent, failed (and tried again), or declined by the customer's settings.",
    ("channel", "outcome"),
)
for _channel in Channel:
    for _outcome in ("sent", "failed", "declined"):
        SENT.labels(_channel, _outcome)

log = structlog.get_logger()


class Sender:
    """Sends notifications, one at a time. Several instances may run concurrently."""

    def __init__(
        self,
        *,
        repository: NotificationsRepository,
        renderer: Renderer,
        mailer: Mailer,
        sms: SmsProvider,
        mail_from: Address,
        admin: Recipient,
        policy: RetryPolicy,
        lease: timedelta,
        clock: Clock = utc_now,
    ) -> None:
        self._repository = repository
        self._renderer = renderer
        self._mailer = mailer
        self._sms = sms
        self._mail_from = mail_from
        self._admin = admin
        self._policy = policy
        self._lease = lease
        self._clock = clock

    def process_next(self) -> bool:
        """Send one notification that is due, else expand a campaign; False when idle."""
        now = self._clock()
        claim = self._repository.claim(now, until=now + self._lease)
        if claim is None:
            return self._repository.expand_campaign(now, CAMPAIGN_BATCH_SIZE)
        with use(CallContext(traceparent=accept(claim.notification.traceparent))):
            if domain.should_send(claim.notification, claim.customer):
                self._repository.save(self._attempt(claim))
            else:
                self._repository.delete(claim.notification)
                SENT.labels(claim.notification.channel, "declined").inc()
                _log(claim.notification).info("notification_declined")
        return True

    def disconnect(self) -> None:
        """Close the connection to the mail server until there is more to send."""
        self._mailer.close()

    def _attempt(self, claim: Claim) -> Notification:
        """Try to send a notification, and return it with the outcome."""
        recipient = self._recipient(claim)
        if recipient is None:
            return domain.await_customer(claim.notification, self._policy, self._clock())
        notification = claim.notification
        try:
            content = self._renderer.render(notification, recipient)
            notification = domain.record_content(notification, content)
            with outgoing(f"send {notification.template}", _attributes(notification)):
                self._deliver(notification, content, recipient)
        except NotSentError as error:
            SENT.labels(notification.channel, "failed").inc()
            _log(notification).warning("notification_not_sent", cause=error.cause)
            return domain.record_failure(notification, error.cause, self._policy, self._clock())
        SENT.labels(notification.channel, "sent").inc()
        _log(notification).info("notification_sent")
        return domain.record_success(notification, self._clock())

    def _recipient(self, claim: Claim) -> Recipient | None:
        if claim.notification.audience is Audience.ADMIN:
            return self._admin
        return domain.to_recipient(claim.customer) if claim.customer else None

    def _deliver(self, notification: Notification, content: Content, recipient: Recipient) -> None:
        key = notification.notification_id
        if notification.channel is Channel.SMS:
            self._sms.send(key, user_id=recipient.user_id, text=content.text)
            return
        mail = build_mail(
            content, key=key, sender=self._mail_from, recipient=recipient, now=self._clock()
        )
        self._mailer.send(mail)


def _attributes(notification: Notification) -> Mapping[str, str]:
    """Return the attributes of the span in which a notification is sent."""
    return {
        "mamie_rosa.notification.channel": notification.channel,
        "mamie_rosa.notification.template": notification.template,
        ORDER_ID: valid_id(notification.variables.get("order_id")),
    }


def _log(notification: Notification) -> structlog.stdlib.BoundLogger:
    """Bind a log to a notification, without personal data."""
    return log.bind(
        notification_id=notification.notification_id,
        template=notification.template,
        channel=notification.channel,
    )


class SendingWorker:
    """Runs a sender in a thread: `window_seconds` after it was woken, else every `poll_seconds`.

    What becomes due within a window shares a round and a connection to the mail server.
    """

    def __init__(
        self, *, sender: Sender, poll_seconds: float, window_seconds: float = WINDOW_SECONDS
    ) -> None:
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._window_seconds = window_seconds
        self._awake = threading.Event()
        self._loop = BackgroundLoop(name="sender", work=self._run)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def wake(self) -> None:
        """Poll soon: there is something to send."""
        self._awake.set()

    def stop(self) -> None:
        """Finish the notification that is being sent, and stop the thread."""
        self._loop.request_stop()
        self._awake.set()
        self._loop.stop()
        self._sender.disconnect()

    def _run(self, loop: BackgroundLoop) -> None:
        """Send what is due, then wait. A mail may wait, calls may not."""
        yield_to_calls()
        self._awake.clear()  # before polling: a wake-up in between is not missed
        while not loop.stopping and self._sender.process_next():
            loop.succeeded()
        loop.succeeded()
        if self._wait():
            loop.wait(self._window_seconds)

    def _wait(self) -> bool:
        """Wait for a wake-up or the next poll; return whether it was a wake-up."""
        lingering = min(self._poll_seconds, LINGER_SECONDS)
        if self._awake.wait(lingering):
            return True
        self._sender.disconnect()
        return self._awake.wait(self._poll_seconds - lingering)


class RetentionJob:
    """Deletes records whose retention is over. Several instances may run concurrently."""

    def __init__(self, *, repository: NotificationsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def run(self) -> None:
        """Delete one batch of processed events and one of finished notifications."""
        now = self._clock()
        events = self._repository.delete_processed_events(
            before=now - domain.PROCESSED_EVENT_RETENTION, limit=DELETE_BATCH_SIZE
        )
        finished = self._repository.delete_finished(
            before=now - domain.SEND_LOG_RETENTION, limit=DELETE_BATCH_SIZE
        )
        if events or finished:
            log.info("expired_records_deleted", processed_events=events, notifications=finished)
