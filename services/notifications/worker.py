"""Sends what is due, as soon as it is due, and forgets what nobody needs any more."""

import threading
from datetime import timedelta
from email.headerregistry import Address

import structlog

from services.common.clock import Clock, utc_now
from services.notifications import domain
from services.notifications.domain import (
    Audience,
    Channel,
    Notification,
    NotSentError,
    Recipient,
    RetryPolicy,
    Wording,
)
from services.notifications.mail import Mailer, build_mail
from services.notifications.rendering import Renderer
from services.notifications.repository import Claim, NotificationsRepository
from services.notifications.sms import SmsProvider

CAMPAIGN_STEP = 100
"""How many notifications of a campaign are made at a time; others wait for them that long."""
FORGOTTEN_AT_ONCE = 1_000

log = structlog.get_logger()


class Sender:
    """Sends notifications, one at a time. Several may do so at once: each has its own."""

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

    def send_next(self) -> bool:
        """Try what has been due longest, else go on with a campaign; False if there is nothing."""
        now = self._clock()
        claim = self._repository.claim(now, until=now + self._lease)
        if claim is None:
            return self._repository.continue_campaign(now, CAMPAIGN_STEP)
        if domain.is_wanted(claim.notification, claim.client):
            self._repository.save(self._try(claim))
        else:
            self._repository.forget(claim.notification)
            _log(claim.notification).info("notification_unwanted")
        return True

    def rest(self) -> None:
        """Let go of the mail server until there is more to send."""
        self._mailer.close()

    def _try(self, claim: Claim) -> Notification:
        """Return what became of a notification."""
        recipient = self._recipient(claim)
        if recipient is None:
            return domain.await_client(claim.notification, self._policy, self._clock())
        worded = claim.notification
        try:
            wording = self._renderer.render(worded, recipient)
            worded = domain.word(worded, wording)
            self._deliver(worded, wording, recipient)
        except NotSentError as error:
            _log(worded).warning("notification_not_sent", cause=error.cause)
            return domain.not_sent(worded, error.cause, self._policy, self._clock())
        _log(worded).info("notification_sent")
        return domain.sent(worded, self._clock())

    def _recipient(self, claim: Claim) -> Recipient | None:
        if claim.notification.audience is Audience.ADMIN:
            return self._admin
        return domain.address(claim.client) if claim.client else None

    def _deliver(self, notification: Notification, wording: Wording, recipient: Recipient) -> None:
        key = notification.notification_id
        if notification.channel is Channel.SMS:
            self._sms.send(key, user_id=recipient.user_id, text=wording.text)
            return
        mail = build_mail(
            wording, key=key, sender=self._mail_from, recipient=recipient, now=self._clock()
        )
        self._mailer.send(mail)


def _log(notification: Notification) -> structlog.stdlib.BoundLogger:
    """Return a log that says which notification it is about, and not whose."""
    return log.bind(
        notification_id=notification.notification_id,
        template=notification.template,
        channel=notification.channel,
    )


class SendingWorker:
    """Sends in a thread of its own: at once when woken, else it looks every `poll_seconds`."""

    def __init__(self, *, sender: Sender, poll_seconds: float) -> None:
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: there is something to send."""
        self._awake.set()

    def stop(self) -> None:
        """Finish the notification that is being sent, and return."""
        self._stopping.set()
        self._awake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()  # before looking: what comes meanwhile is not missed
            self._send_all()
            self._awake.wait(self._poll_seconds)

    def _send_all(self) -> None:
        try:
            while not self._stopping.is_set() and self._sender.send_next():
                pass
            self._sender.rest()
        except Exception:
            log.exception("sending_interrupted")


class RetentionJob:
    """Forgets what nobody needs any more. Several may do so at once."""

    def __init__(self, *, repository: NotificationsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def run(self) -> None:
        """Forget old events and notifications; so many at a time that nobody waits for it."""
        now = self._clock()
        events = self._repository.delete_processed_events(
            before=now - domain.PROCESSED_EVENT_RETENTION, limit=FORGOTTEN_AT_ONCE
        )
        finished = self._repository.delete_finished(
            before=now - domain.SEND_LOG_RETENTION, limit=FORGOTTEN_AT_ONCE
        )
        if events or finished:
            log.info("forgotten", events=events, notifications=finished)
