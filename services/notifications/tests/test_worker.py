"""Sending: retries, failures, consent, campaigns and retention."""

from datetime import timedelta
from email.headerregistry import Address

import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.common.languages import Language
from services.notifications.domain import (
    PROCESSED_EVENT_RETENTION,
    SEND_LOG_RETENTION,
    Audience,
    Channel,
    Effect,
    NotificationRequest,
    NotSentError,
    Recipient,
    Status,
)
from services.notifications.rendering import TEMPLATES, Renderer
from services.notifications.tests.fakes import (
    NOW,
    POLICY,
    SHOP_URL,
    FakeMailer,
    FakeSmsProvider,
    InMemoryNotificationsRepository,
    ManualClock,
    build_customer,
)
from services.notifications.worker import RetentionJob, Sender, SendingWorker
from tests.support.waiting import eventually

LEASE = timedelta(seconds=60)
SHIPPED = {"order_id": "order-1", "tracking_number": "TRK42"}


class Harness:
    """A sender with fakes of everything that it uses."""

    def __init__(self, repository=None, templates=None):
        self.clock = ManualClock()
        self.repository = repository or InMemoryNotificationsRepository()
        self.mailer = FakeMailer()
        self.sms = FakeSmsProvider()
        self.sender = Sender(
            repository=self.repository,
            renderer=Renderer(templates or TEMPLATES, shop_url=SHOP_URL),
            mailer=self.mailer,
            sms=self.sms,
            mail_from=Address("Mamie Rosa", addr_spec="bonjour@mamie-rosa.example"),
            admin=Recipient(email="admin@mamie-rosa.example", language=Language.EN),
            policy=POLICY,
            lease=LEASE,
            clock=self.clock,
        )

    def add_customer(self, **changes):
        customer = build_customer(**changes)
        self.repository.apply(f"user-{customer.as_of}", Effect(customer=customer), self.clock())

    def notify(self, *, event_id="event-1", **changes):
        values = {"template": "order_shipped", "variables": SHIPPED, "user_id": "marie"}
        effect = Effect(requests=[NotificationRequest(**values | changes)])
        self.repository.apply(event_id, effect, self.clock())

    def send(self):
        while self.sender.process_next():
            pass

    @property
    def notification(self):
        (found,), _ = self.repository.list_by_user("marie", page=1, limit=10)
        return found


@pytest.fixture
def harness():
    harness = Harness()
    harness.add_customer()
    return harness


def test_a_mail_is_sent_to_its_customer_in_their_language(harness):
    harness.notify()
    harness.send()
    (mail,) = harness.mailer.mails
    assert mail["To"] == "Marie Petit <marie@example.org>"
    assert mail["From"] == "Mamie Rosa <bonjour@mamie-rosa.example>"
    assert "TRK42" in mail.get_body(["plain"]).get_content()
    assert "TRK42" in mail.get_body(["html"]).get_content()
    sent = harness.notification
    assert (sent.status, sent.sent_at, sent.attempt_count) == (Status.SENT, NOW, 1)
    assert (sent.subject, sent.language) == ("Votre colis est en route", "fr")


def test_an_sms_goes_to_the_provider_and_its_text_to_the_send_log(harness):
    harness.notify(channel=Channel.SMS)
    harness.send()
    ((key, user_id, text),) = harness.sms.sent
    assert (key, user_id) == (harness.notification.notification_id, "marie")
    assert "TRK42" in text
    assert harness.notification.subject == text
    assert harness.mailer.mails == []


@pytest.mark.parametrize("audience", [Audience.CUSTOMER, Audience.SUBSCRIBERS])
@pytest.mark.parametrize("channel", list(Channel))
def test_a_notification_to_a_customer_who_opted_out_is_deleted(harness, audience, channel):
    harness.notify(audience=audience, channel=channel)
    harness.add_customer(notifications_enabled=False, as_of=NOW + timedelta(seconds=1))
    harness.send()
    assert (harness.mailer.mails, harness.sms.sent) == ([], [])
    assert harness.repository.list_by_user("marie", page=1, limit=10) == ([], 0)


def test_a_customer_who_opts_out_during_a_campaign_gets_no_mail(harness):
    harness.notify(audience=Audience.SUBSCRIBERS, user_id="")
    assert harness.repository.expand_campaign(NOW, 10)
    harness.add_customer(notifications_enabled=False, as_of=NOW + timedelta(seconds=1))
    harness.send()
    assert harness.mailer.mails == []
    assert harness.repository.list_by_user("marie", page=1, limit=10) == ([], 0)


def test_a_campaign_is_expanded_when_nothing_else_is_due(harness):
    variables = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    harness.notify(audience=Audience.SUBSCRIBERS, user_id="")
    harness.notify(
        event_id="event-2", template="stock_low", variables=variables, audience=Audience.ADMIN
    )
    harness.send()
    assert [mail["To"].addresses[0].addr_spec for mail in harness.mailer.mails] == [
        "admin@mamie-rosa.example",
        "marie@example.org",
    ]


def test_an_alert_goes_to_the_administrator(harness):
    variables = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    harness.notify(template="stock_low", variables=variables, audience=Audience.ADMIN, user_id="")
    harness.send()
    (mail,) = harness.mailer.mails
    assert (mail["To"], mail["Subject"]) == (
        "admin@mamie-rosa.example",
        "Low stock: Croquettes (3)",
    )


def test_an_alert_ignores_the_preferences_of_the_administrators_account(harness):
    harness.add_customer(user_id="admin", email="other@example.org", notifications_enabled=False)
    variables = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    harness.notify(template="stock_low", variables=variables, audience=Audience.ADMIN, user_id="")
    harness.send()
    assert [mail["To"] for mail in harness.mailer.mails] == ["admin@mamie-rosa.example"]


def test_a_rejected_mail_is_retried_and_fails_after_the_last_attempt(harness):
    harness.mailer.failure = "SMTP_451"
    harness.notify()
    for attempts, delay in ((1, 1), (2, 5)):
        harness.send()
        assert (harness.notification.status, harness.notification.attempt_count) == (
            Status.PENDING,
            attempts,
        )
        harness.clock.move(seconds=delay)
    harness.send()
    failed = harness.notification
    assert (failed.status, failed.attempt_count, failed.error) == (Status.FAILED, 3, "SMTP_451")
    assert failed.subject == "Votre colis est en route"
    harness.clock.move(days=1)
    assert not harness.sender.process_next()


def test_a_retried_mail_is_sent_once(harness):
    harness.mailer.failure = "SMTP_UNREACHABLE"
    harness.notify()
    harness.send()
    harness.mailer.failure = ""
    assert not harness.sender.process_next()
    harness.clock.move(seconds=1)
    harness.send()
    assert len(harness.mailer.mails) == 1
    assert (harness.notification.status, harness.notification.attempt_count) == (Status.SENT, 2)


def test_a_broken_template_fails_only_its_own_notifications(tmp_path):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "order_shipped.txt").write_text("{{ nothing }}")
    (tmp_path / "fr" / "order_shipped.sms.txt").write_text("{{ tracking_number }}")
    harness = Harness(templates=tmp_path)
    harness.add_customer()
    harness.notify()
    harness.notify(event_id="event-2", channel=Channel.SMS)
    harness.send()
    assert [text for *_, text in harness.sms.sent] == ["TRK42"]
    for _ in range(2):
        harness.clock.move(seconds=5)
        harness.send()
    found, _ = harness.repository.list_by_user("marie", page=1, limit=10)
    assert {(n.channel, n.status, n.error) for n in found} == {
        (Channel.EMAIL, Status.FAILED, "TEMPLATE_BROKEN"),
        (Channel.SMS, Status.SENT, ""),
    }


def test_an_invalid_address_is_a_failure(harness):
    harness.add_customer(email="not an address", as_of=NOW + timedelta(seconds=1))
    harness.notify()
    harness.send()
    assert harness.notification.error == "ADDRESS_INVALID"


def test_a_mail_to_an_unknown_customer_is_sent_when_they_are_known():
    harness = Harness()
    harness.notify()
    harness.send()
    assert (harness.notification.status, harness.notification.attempt_count) == (Status.PENDING, 0)
    harness.add_customer()
    harness.clock.move(seconds=1)
    harness.send()
    assert len(harness.mailer.mails) == 1


def test_a_mail_to_a_customer_who_stays_unknown_fails():
    harness = Harness()
    harness.notify()
    harness.clock.now += POLICY.unknown_customer_timeout
    for _ in range(POLICY.max_attempts):
        harness.send()
        harness.clock.move(seconds=5)
    assert (harness.notification.status, harness.notification.error) == (
        Status.FAILED,
        "CUSTOMER_UNKNOWN",
    )


class FailingRepository(InMemoryNotificationsRepository):
    """A store that is unavailable for the first save, after the mail was sent."""

    failed = False

    def save(self, notification):
        if not self.failed:
            self.failed = True
            raise StoreUnavailableError
        super().save(notification)


def test_a_mail_that_is_sent_twice_after_a_crash_has_one_message_id():
    harness = Harness(FailingRepository())
    harness.add_customer()
    harness.notify()
    with pytest.raises(StoreUnavailableError):
        harness.send()
    assert not harness.sender.process_next()
    harness.clock.now += LEASE
    harness.send()
    first, second = harness.mailer.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert harness.notification.notification_id in first["Message-ID"]
    assert harness.notification.status is Status.SENT


class CountedSender:
    """Sends `due` notifications; fails `failing` times first."""

    def __init__(self):
        self.due = 0
        self.sent = 0
        self.disconnects = 0
        self.rounds = 0
        self.failing = 0

    def process_next(self):
        if self.failing:
            self.failing -= 1
            raise NotSentError("SMTP_451")
        if not self.due:
            self.rounds += 1
            return False
        self.due -= 1
        self.sent += 1
        return True

    def disconnect(self):
        self.disconnects += 1


@pytest.fixture
def sender():
    return CountedSender()


def running(sender, poll_seconds):
    worker = SendingWorker(sender=sender, poll_seconds=poll_seconds, window_seconds=0.05)
    worker.start()
    return worker


def test_what_becomes_due_within_a_window_shares_a_round_and_a_connection(sender):
    worker = SendingWorker(sender=sender, poll_seconds=3600, window_seconds=0.5)
    worker.start()
    eventually(lambda: sender.disconnects)
    for _ in range(3):
        sender.due += 1
        worker.wake()
    eventually(lambda: sender.rounds == 2)
    assert (sender.sent, sender.disconnects) == (3, 1)
    worker.stop()


def test_a_worker_that_stops_while_it_waits_for_more_disconnects(sender):
    worker = SendingWorker(sender=sender, poll_seconds=3600, window_seconds=0)
    worker.start()
    eventually(lambda: sender.rounds)
    worker.stop()
    assert sender.disconnects == 1


def test_a_worker_sends_soon_when_woken(sender):
    worker = running(sender, poll_seconds=3600)
    eventually(lambda: sender.disconnects)
    sender.due = 3
    worker.wake()
    eventually(lambda: sender.sent == 3)
    worker.stop()


def test_a_worker_polls(sender):
    worker = running(sender, poll_seconds=0.01)
    eventually(lambda: sender.disconnects)
    sender.due = 3
    eventually(lambda: sender.sent == 3)
    worker.stop()


def test_a_worker_continues_after_a_failure(sender):
    sender.failing, sender.due = 2, 1
    worker = running(sender, poll_seconds=0.01)
    eventually(lambda: sender.sent == 1)
    worker.stop()


@pytest.mark.parametrize(
    ("age", "is_known"),
    [(PROCESSED_EVENT_RETENTION, True), (PROCESSED_EVENT_RETENTION + timedelta(seconds=1), False)],
)
def test_the_id_of_an_event_is_kept_for_its_retention(harness, age, is_known):
    harness.notify()
    harness.clock.now += age
    RetentionJob(repository=harness.repository, clock=harness.clock).run()
    assert harness.repository.apply("event-1", Effect(), harness.clock()) is not is_known


@pytest.mark.parametrize(
    ("age", "count"), [(SEND_LOG_RETENTION, 1), (SEND_LOG_RETENTION + timedelta(seconds=1), 0)]
)
def test_a_sent_notification_is_kept_for_its_retention(harness, age, count):
    harness.notify()
    harness.send()
    harness.clock.now += age
    RetentionJob(repository=harness.repository, clock=harness.clock).run()
    assert harness.repository.list_by_user("marie", page=1, limit=10)[1] == count


def test_disconnecting_closes_the_connection_to_the_mail_server(harness):
    harness.sender.disconnect()
    assert harness.mailer.close_count == 1


def test_a_mail_is_a_part_of_the_trace_of_its_event_and_has_no_address(harness, recorded):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with use(CallContext(traceparent=trace)):
        harness.notify()
    harness.send()
    (begun,) = recorded
    assert (begun.name, f"00-{begun.trace_id}-{begun.parent_id}-01") == (
        "send order_shipped",
        trace,
    )
    assert "@" not in str(begun.attributes)


def test_a_mail_that_is_not_accepted_is_a_failed_span(harness, recorded):
    harness.mailer.failure = "SMTP_451"
    with use(CallContext(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")):
        harness.notify()
    harness.send()
    assert [each.error for each in recorded] == ["NotSentError"]
