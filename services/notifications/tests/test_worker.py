"""What is due is sent: tried again when it fails, given up at last, never to who declined."""

from datetime import timedelta
from email.headerregistry import Address

import pytest

from services.common.errors import StoreUnavailableError
from services.notifications.domain import (
    PROCESSED_EVENT_RETENTION,
    SEND_LOG_RETENTION,
    Audience,
    Channel,
    Effect,
    Notice,
    NotSentError,
    Recipient,
    Status,
)
from services.notifications.rendering import Renderer
from services.notifications.tests.fakes import (
    NOW,
    POLICY,
    InMemoryNotificationsRepository,
    ListMailer,
    ListSms,
    ManualClock,
    build_client,
)
from services.notifications.worker import RetentionJob, Sender, SendingWorker
from tests.support.waiting import eventually

LEASE = timedelta(seconds=60)
SHIPPED = {"order_id": "order-1", "tracking_number": "TRK42"}


class Post:
    """A sender with everything around it in memory."""

    def __init__(self, repository=None, templates=None):
        self.clock = ManualClock()
        self.repository = repository or InMemoryNotificationsRepository()
        self.mailer = ListMailer()
        self.sms = ListSms()
        self.sender = Sender(
            repository=self.repository,
            renderer=Renderer(templates) if templates else Renderer(),
            mailer=self.mailer,
            sms=self.sms,
            mail_from=Address("Mamie Rosa", addr_spec="bonjour@mamie-rosa.example"),
            admin=Recipient(email="admin@mamie-rosa.example", language="en"),
            policy=POLICY,
            lease=LEASE,
            clock=self.clock,
        )

    def know(self, **changes):
        client = build_client(**changes)
        self.repository.apply(f"user-{client.as_of}", Effect(client=client), self.clock())

    def tell(self, *, event_id="event-1", **changes):
        values = {"template": "order_shipped", "facts": SHIPPED, "user_id": "marie"}
        effect = Effect(notices=[Notice(**values | changes)])
        self.repository.apply(event_id, effect, self.clock())

    def send(self):
        while self.sender.send_next():
            pass

    @property
    def notification(self):
        (found,), _ = self.repository.list_of("marie", page=1, limit=10)
        return found


@pytest.fixture
def post():
    post = Post()
    post.know()
    return post


def test_a_mail_is_sent_to_its_client_in_their_language(post):
    post.tell()
    post.send()
    (mail,) = post.mailer.mails
    assert mail["To"] == "Marie Petit <marie@example.org>"
    assert mail["From"] == "Mamie Rosa <bonjour@mamie-rosa.example>"
    assert "TRK42" in mail.get_body(["plain"]).get_content()
    assert "TRK42" in mail.get_body(["html"]).get_content()
    sent = post.notification
    assert (sent.status, sent.sent_at, sent.attempt_count) == (Status.SENT, NOW, 1)
    assert (sent.subject, sent.language) == ("Votre colis est en route", "fr")


def test_an_sms_goes_to_the_provider_and_its_text_into_the_send_log(post):
    post.tell(channel=Channel.SMS)
    post.send()
    ((key, user_id, text),) = post.sms.sent
    assert (key, user_id) == (post.notification.notification_id, "marie")
    assert "TRK42" in text
    assert post.notification.subject == text
    assert post.mailer.mails == []


@pytest.mark.parametrize("audience", [Audience.CLIENT, Audience.SUBSCRIBERS])
@pytest.mark.parametrize("channel", list(Channel))
def test_who_declined_meanwhile_is_not_written_to_and_nothing_is_left(post, audience, channel):
    post.tell(audience=audience, channel=channel)
    post.know(notifications_enabled=False, as_of=NOW + timedelta(seconds=1))
    post.send()
    assert (post.mailer.mails, post.sms.sent) == ([], [])
    assert post.repository.list_of("marie", page=1, limit=10) == ([], 0)


def test_who_declined_after_their_turn_came_in_a_campaign_is_not_written_to(post):
    post.tell(audience=Audience.SUBSCRIBERS, user_id="")
    assert post.repository.continue_campaign(NOW, 10)
    post.know(notifications_enabled=False, as_of=NOW + timedelta(seconds=1))
    post.send()
    assert post.mailer.mails == []
    assert post.repository.list_of("marie", page=1, limit=10) == ([], 0)


def test_a_campaign_goes_on_when_nothing_else_is_due(post):
    facts = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    post.tell(audience=Audience.SUBSCRIBERS, user_id="")
    post.tell(event_id="event-2", template="stock_low", facts=facts, audience=Audience.ADMIN)
    post.send()
    assert [mail["To"].addresses[0].addr_spec for mail in post.mailer.mails] == [
        "admin@mamie-rosa.example",
        "marie@example.org",
    ]


def test_an_alert_goes_to_the_administrator(post):
    facts = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    post.tell(template="stock_low", facts=facts, audience=Audience.ADMIN, user_id="")
    post.send()
    (mail,) = post.mailer.mails
    assert (mail["To"], mail["Subject"]) == (
        "admin@mamie-rosa.example",
        "Low stock: Croquettes (3)",
    )


def test_an_alert_goes_where_it_should_whatever_the_administrators_account_says(post):
    post.know(user_id="admin", email="other@example.org", notifications_enabled=False)
    facts = {"sku": "prod_001", "title": "Croquettes", "quantity": 3}
    post.tell(template="stock_low", facts=facts, audience=Audience.ADMIN, user_id="")
    post.send()
    assert [mail["To"] for mail in post.mailer.mails] == ["admin@mamie-rosa.example"]


def test_a_refusing_server_is_tried_again_and_given_up_at_last(post):
    post.mailer.refusing = "SMTP_451"
    post.tell()
    for tries, pause in ((1, 1), (2, 5)):
        post.send()
        assert (post.notification.status, post.notification.attempt_count) == (
            Status.PENDING,
            tries,
        )
        post.clock.move(seconds=pause)
    post.send()
    failed = post.notification
    assert (failed.status, failed.attempt_count, failed.error) == (Status.FAILED, 3, "SMTP_451")
    assert failed.subject == "Votre colis est en route"
    post.clock.move(days=1)
    assert not post.sender.send_next()


def test_a_server_that_is_back_gets_the_mail_once(post):
    post.mailer.refusing = "SMTP_UNREACHABLE"
    post.tell()
    post.send()
    post.mailer.refusing = ""
    assert not post.sender.send_next()
    post.clock.move(seconds=1)
    post.send()
    assert len(post.mailer.mails) == 1
    assert (post.notification.status, post.notification.attempt_count) == (Status.SENT, 2)


def test_a_broken_template_is_a_failure_of_its_own_notifications_alone(tmp_path):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "order_shipped.txt").write_text("{{ nothing }}")
    (tmp_path / "fr" / "order_shipped.sms.txt").write_text("{{ tracking_number }}")
    post = Post(templates=tmp_path)
    post.know()
    post.tell()
    post.tell(event_id="event-2", channel=Channel.SMS)
    post.send()
    assert [text for *_, text in post.sms.sent] == ["TRK42"]
    for _ in range(2):
        post.clock.move(seconds=5)
        post.send()
    found, _ = post.repository.list_of("marie", page=1, limit=10)
    assert {(n.channel, n.status, n.error) for n in found} == {
        (Channel.EMAIL, Status.FAILED, "TEMPLATE_BROKEN"),
        (Channel.SMS, Status.SENT, ""),
    }


def test_an_address_that_is_none_is_a_failure(post):
    post.know(email="not an address", as_of=NOW + timedelta(seconds=1))
    post.tell()
    post.send()
    assert post.notification.error == "ADDRESS_INVALID"


def test_a_client_who_is_not_known_yet_gets_the_mail_when_they_are():
    post = Post()
    post.tell()
    post.send()
    assert (post.notification.status, post.notification.attempt_count) == (Status.PENDING, 0)
    post.know()
    post.clock.move(seconds=1)
    post.send()
    assert len(post.mailer.mails) == 1


def test_a_client_who_never_becomes_known_is_a_failure_at_last():
    post = Post()
    post.tell()
    post.clock.now += POLICY.patience
    for _ in range(POLICY.attempts):
        post.send()
        post.clock.move(seconds=5)
    assert (post.notification.status, post.notification.error) == (Status.FAILED, "CLIENT_UNKNOWN")


class DyingRepository(InMemoryNotificationsRepository):
    """A store whose connection is gone just when a mail was handed over, the first time."""

    died = False

    def save(self, notification):
        if not self.died:
            self.died = True
            raise StoreUnavailableError
        super().save(notification)


def test_a_mail_that_is_sent_twice_after_a_crash_has_one_message_id():
    post = Post(DyingRepository())
    post.know()
    post.tell()
    with pytest.raises(StoreUnavailableError):
        post.send()
    assert not post.sender.send_next()
    post.clock.now += LEASE
    post.send()
    first, second = post.mailer.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert post.notification.notification_id in first["Message-ID"]
    assert post.notification.status is Status.SENT


class CountedSender:
    """A sender with so much to send; it fails when told to."""

    def __init__(self):
        self.due = 0
        self.sent = 0
        self.rests = 0
        self.failing = 0

    def send_next(self):
        if self.failing:
            self.failing -= 1
            raise NotSentError("whatever")
        if not self.due:
            return False
        self.due -= 1
        self.sent += 1
        return True

    def rest(self):
        self.rests += 1


@pytest.fixture
def sender():
    return CountedSender()


def running(sender, poll_seconds):
    worker = SendingWorker(sender=sender, poll_seconds=poll_seconds)
    worker.start()
    return worker


def test_a_worker_sends_at_once_when_woken(sender):
    worker = running(sender, poll_seconds=3600)
    eventually(lambda: sender.rests)
    sender.due = 3
    worker.wake()
    eventually(lambda: sender.sent == 3)
    worker.stop()


def test_a_worker_that_nobody_wakes_looks_by_itself(sender):
    worker = running(sender, poll_seconds=0.01)
    eventually(lambda: sender.rests)
    sender.due = 3
    eventually(lambda: sender.sent == 3)
    worker.stop()


def test_a_worker_goes_on_after_a_round_that_failed(sender):
    sender.failing, sender.due = 2, 1
    worker = running(sender, poll_seconds=0.01)
    eventually(lambda: sender.sent == 1)
    worker.stop()


@pytest.mark.parametrize(
    ("age", "is_known"),
    [(PROCESSED_EVENT_RETENTION, True), (PROCESSED_EVENT_RETENTION + timedelta(seconds=1), False)],
)
def test_the_id_of_an_event_is_remembered_for_a_time(post, age, is_known):
    post.tell()
    post.clock.now += age
    RetentionJob(repository=post.repository, clock=post.clock).run()
    assert post.repository.apply("event-1", Effect(), post.clock()) is not is_known


@pytest.mark.parametrize(
    ("age", "count"), [(SEND_LOG_RETENTION, 1), (SEND_LOG_RETENTION + timedelta(seconds=1), 0)]
)
def test_what_was_sent_can_be_looked_up_for_a_time(post, age, count):
    post.tell()
    post.send()
    post.clock.now += age
    RetentionJob(repository=post.repository, clock=post.clock).run()
    assert post.repository.list_of("marie", page=1, limit=10)[1] == count


def test_resting_lets_go_of_the_mail_server(post):
    post.sender.rest()
    assert post.mailer.closed == 1
