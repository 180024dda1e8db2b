"""The contract of a notifications repository, for the fake and for the real store."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.context import CallContext, use
from services.common.errors import StoreUnavailableError
from services.common.languages import Language
from services.common.storage import postgres
from services.notifications import domain
from services.notifications.domain import (
    Audience,
    Channel,
    Content,
    Effect,
    NotificationRequest,
    Status,
)
from services.notifications.repository import (
    NotificationsRepository,
    PostgresNotificationsRepository,
)
from services.notifications.tests.fakes import (
    NOW,
    POLICY,
    InMemoryNotificationsRepository,
    build_customer,
)

LATER = NOW + timedelta(minutes=1)
VARIABLES = {"items": [{"title": "Croquettes <été>", "quantity": 2}], "discount": "0.00"}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repository(request):
    repository: NotificationsRepository = (
        PostgresNotificationsRepository(request.getfixturevalue("engine"))
        if request.param == "postgres"
        else InMemoryNotificationsRepository()
    )
    return repository


def add_customers(repository, *customers, event_id="", now=NOW):
    for customer in customers:
        repository.apply(event_id or f"user-{customer.user_id}", Effect(customer=customer), now)


def notify(repository, event_id="event-1", *, now=NOW, **changes):
    values = {"template": "welcome", "variables": VARIABLES, "user_id": "marie"}
    return repository.apply(
        event_id, Effect(requests=[NotificationRequest(**values | changes)]), now
    )


def listed(repository, user_id="marie", page=1, limit=10):
    return repository.list_by_user(user_id, page=page, limit=limit)[0]


def create_campaign(repository, event_id="promo", **changes):
    notify(repository, event_id, audience=Audience.SUBSCRIBERS, user_id="", **changes)


def expand_campaigns(repository, now=NOW, limit=100):
    """Expand all campaigns completely; return the number of batches."""
    return sum(1 for _ in iter(lambda: repository.expand_campaign(now, limit), False))


def templates(repository, now):
    """Return the templates of due notifications, in the order of their claims."""
    claims = iter(lambda: claimed(repository, now, now + timedelta(minutes=1)), None)
    return [notification.template for notification in claims]


def claimed(repository, now=NOW, until=LATER):
    claim = repository.claim(now, until)
    return claim and claim.notification


def test_a_request_becomes_a_notification_that_is_due_now(repository):
    assert notify(repository, channel=Channel.SMS)
    (notification,) = listed(repository)
    assert (notification.channel, notification.template) == (Channel.SMS, "welcome")
    assert (notification.variables, notification.status) == (VARIABLES, Status.PENDING)
    assert (notification.created_at, notification.due_at) == (NOW, NOW)
    assert (notification.attempt_count, notification.subject) == (0, "")


def test_a_notification_has_the_trace_of_its_event(repository):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with use(CallContext(traceparent=trace)):
        notify(repository)
    assert [each.traceparent for each in listed(repository)] == [trace]
    notify(repository, "event-2", user_id="paul")
    assert [each.traceparent for each in listed(repository, "paul")] == [""]


def test_an_event_has_one_effect(repository):
    assert notify(repository)
    assert not notify(repository)
    assert notify(repository, "event-2")
    assert len(listed(repository)) == 2


def test_a_claimed_notification_has_its_customer_and_is_hidden(repository):
    add_customers(repository, build_customer())
    notify(repository)
    claim = repository.claim(NOW, LATER)
    assert claim.customer == build_customer()
    assert claim.notification.user_id == "marie"
    assert repository.claim(NOW, LATER) is None


def test_an_unknown_customer_is_none(repository):
    notify(repository)
    assert repository.claim(NOW, LATER).customer is None


def test_an_abandoned_claim_becomes_due_again(repository):
    notify(repository)
    first = claimed(repository)
    assert claimed(repository, LATER).notification_id == first.notification_id


def test_the_notification_that_is_due_longest_comes_first(repository):
    notify(repository, "late", template="second", now=NOW)
    notify(repository, "early", template="first", now=NOW - timedelta(seconds=1))
    assert [claimed(repository).template for _ in range(2)] == ["first", "second"]


def test_a_notification_that_is_not_due_is_not_claimed(repository):
    notify(repository, now=LATER)
    assert repository.claim(NOW, LATER) is None


def test_subscribers_are_customers_who_accept_notifications(repository):
    off = build_customer(user_id="off", notifications_enabled=False)
    add_customers(repository, build_customer(), build_customer(user_id="jean"), off)
    create_campaign(repository, channel=Channel.SMS)
    expand_campaigns(repository)
    assert [len(listed(repository, each)) for each in ("marie", "jean", "off")] == [1, 1, 0]
    (created,) = listed(repository)
    assert (created.variables, created.channel, created.template) == (
        VARIABLES,
        Channel.SMS,
        "welcome",
    )
    assert (created.audience, created.due_at) == (Audience.SUBSCRIBERS, NOW)


def test_a_campaign_has_no_notifications_before_it_is_expanded(repository):
    add_customers(repository, build_customer())
    create_campaign(repository)
    assert listed(repository) == []
    assert repository.claim(NOW, LATER) is None


def test_a_campaign_is_expanded_in_batches_with_one_notification_per_subscriber(repository):
    subscribers = [f"customer-{number}" for number in range(5)]
    add_customers(repository, *(build_customer(user_id=each) for each in subscribers))
    create_campaign(repository)
    counts = []
    for _ in range(3):
        assert repository.expand_campaign(NOW, 2)
        counts.append([len(listed(repository, each)) for each in subscribers])
    assert counts == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    expand_campaigns(repository)
    assert [len(listed(repository, each)) for each in subscribers] == [1, 1, 1, 1, 1]
    assert not repository.expand_campaign(NOW, 2)


def test_a_campaign_is_for_customers_who_existed_when_it_was_created(repository):
    add_customers(repository, build_customer(user_id="old"))
    create_campaign(repository)
    add_customers(repository, build_customer(user_id="young"), now=LATER)
    add_customers(
        repository, build_customer(user_id="old", language="en"), event_id="changed", now=LATER
    )
    expand_campaigns(repository, LATER)
    assert [len(listed(repository, each)) for each in ("old", "young")] == [1, 0]


def test_a_campaign_without_subscribers_is_complete_at_once(repository):
    create_campaign(repository)
    expand_campaigns(repository)
    add_customers(repository, build_customer())
    assert not repository.expand_campaign(NOW, 2)


def test_campaigns_are_expanded_one_after_the_other(repository):
    add_customers(repository, build_customer(), build_customer(user_id="jean"))
    for number in (1, 2):
        create_campaign(repository, f"promo-{number}", template=f"promo {number}")
    for seconds in range(expand_campaigns(repository, limit=1)):
        expand_campaigns(repository, NOW + timedelta(seconds=seconds))
    assert templates(repository, NOW) == ["promo 1", "promo 1", "promo 2", "promo 2"]


@pytest.mark.parametrize("audience", [Audience.CUSTOMER, Audience.ADMIN])
def test_notifications_of_campaigns_come_last(repository, audience):
    add_customers(repository, build_customer())
    create_campaign(repository, template="promo")
    expand_campaigns(repository)
    user_id = "marie" if audience is Audience.CUSTOMER else ""
    for second in (1, 2):
        now = NOW + timedelta(seconds=second)
        changes = {"template": f"order {second}", "audience": audience, "user_id": user_id}
        notify(repository, f"order-{second}", now=now, **changes)
    assert templates(repository, NOW + timedelta(seconds=3)) == ["order 1", "order 2", "promo"]


def test_a_notification_to_the_administrator_has_no_customer(repository):
    notify(repository, audience=Audience.ADMIN, user_id="")
    claim = repository.claim(NOW, LATER)
    assert (claim.notification.audience, claim.customer) == (Audience.ADMIN, None)
    assert claim.notification.user_id == ""


def test_the_newest_event_of_a_customer_wins(repository):
    newer = build_customer(language="en", as_of=LATER)
    add_customers(repository, newer, event_id="new")
    add_customers(repository, build_customer(), event_id="old")
    notify(repository)
    assert repository.claim(NOW, LATER).customer == newer


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_highest_version_of_a_customer_wins_whatever_the_clocks(repository, order):
    ahead = build_customer(version=2, as_of=NOW + timedelta(seconds=90))
    changes = [ahead, build_customer(version=3, as_of=NOW, notifications_enabled=False)]
    for number in order:
        add_customers(repository, changes[number], event_id=f"change-{number}")
    notify(repository)
    assert not repository.claim(NOW, LATER).customer.notifications_enabled


def test_a_version_is_newer_than_an_event_of_before_versions(repository):
    add_customers(repository, build_customer(first_name="Old", as_of=LATER), event_id="old")
    add_customers(repository, build_customer(first_name="New", version=1), event_id="new")
    notify(repository)
    assert repository.claim(NOW, LATER).customer.first_name == "New"


AGES = [(version, as_of) for version in (0, 1, 2) for as_of in (NOW, LATER)]


@pytest.mark.parametrize("known", AGES)
@pytest.mark.parametrize("new", AGES)
def test_the_store_keeps_the_customer_whom_the_domain_calls_newer(repository, known, new):
    before, after = (
        build_customer(version=version, as_of=as_of, first_name=name)
        for (version, as_of), name in ((known, "Known"), (new, "New"))
    )
    add_customers(repository, before, event_id="known")
    add_customers(repository, after, event_id="new")
    notify(repository)
    expected = after if after.is_newer_than(before) else before
    assert repository.claim(NOW, LATER).customer == expected


def test_a_customer_can_change(repository):
    changed = build_customer(email="new@example.org", notifications_enabled=False)
    add_customers(repository, build_customer(), event_id="created")
    add_customers(repository, changed, event_id="updated")
    notify(repository)
    assert repository.claim(NOW, LATER).customer == changed


def test_the_outcome_of_a_notification_is_stored(repository):
    notify(repository)
    rendered = domain.record_content(
        claimed(repository), Content(language=Language.FR, subject="Bienvenue\xa0!", text=".")
    )
    sent = domain.record_success(rendered, LATER)
    repository.save(sent)
    assert listed(repository) == [sent]
    assert repository.claim(LATER, LATER) is None


def test_a_failed_notification_is_due_again_with_its_cause(repository):
    notify(repository)
    failed = domain.record_failure(claimed(repository), "SMTP_451", POLICY, NOW)
    repository.save(failed)
    assert repository.claim(NOW, LATER) is None
    assert claimed(repository, failed.due_at) == replace(failed, due_at=LATER)


def test_a_sent_notification_stays_sent(repository):
    notify(repository)
    slow = claimed(repository)
    sent = domain.record_success(claimed(repository, LATER), LATER)
    repository.save(sent)
    repository.save(domain.record_failure(slow, "SMTP_UNREACHABLE", POLICY, LATER))
    repository.delete(slow)
    assert listed(repository) == [sent]


def test_a_deleted_notification_is_not_listed(repository):
    notify(repository)
    repository.delete(claimed(repository))
    assert repository.list_by_user("marie", page=1, limit=10) == ([], 0)


def test_a_page_is_a_part_of_a_customers_notifications_newest_first(repository):
    for number in range(3):
        notify(
            repository,
            f"event-{number}",
            template=str(number),
            now=NOW + number * POLICY.delay_after(1),
        )
    notify(repository, "other", user_id="jean")
    page, total = repository.list_by_user("marie", page=1, limit=2)
    assert ([n.template for n in page], total) == (["2", "1"], 3)
    assert [n.template for n in listed(repository, page=2, limit=2)] == ["0"]


def test_old_processed_events_are_deleted(repository):
    notify(repository, "old", now=NOW - timedelta(seconds=1))
    notify(repository, "recent", now=NOW)
    assert repository.delete_processed_events(before=NOW, limit=10) == 1
    assert not notify(repository, "recent")
    assert notify(repository, "old")


def test_processed_events_are_deleted_in_batches(repository):
    for number in range(3):
        notify(repository, f"event-{number}")
    assert [repository.delete_processed_events(before=LATER, limit=2) for _ in range(3)] == [
        2,
        1,
        0,
    ]


def test_old_finished_notifications_are_deleted_in_batches(repository):
    second = timedelta(seconds=1)
    for number, now in enumerate((NOW - second, NOW - second, NOW)):
        notify(repository, f"event-{number}", now=now, template=str(number))
        repository.save(domain.record_success(claimed(repository), LATER))
    assert [repository.delete_finished(before=NOW, limit=1) for _ in range(3)] == [1, 1, 0]
    assert [notification.template for notification in listed(repository)] == ["2"]


def test_a_pending_notification_is_never_deleted_for_its_age(repository):
    notify(repository)
    assert repository.delete_finished(before=LATER, limit=10) == 0
    assert len(listed(repository)) == 1


@pytest.mark.integration
def test_an_unavailable_store_is_an_error():
    engine = postgres.create_engine("postgresql://127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError):
        PostgresNotificationsRepository(engine).ping()


@pytest.mark.integration
class TestUnderConcurrency:
    @pytest.fixture
    def repository(self, engine):
        return PostgresNotificationsRepository(engine)

    def test_an_event_has_one_effect_by_however_many_at_once(self, repository):
        with ThreadPoolExecutor(8) as executor:
            firsts = list(executor.map(lambda _: notify(repository), range(20)))
        assert sum(firsts) == 1
        assert len(listed(repository)) == 1

    def test_concurrent_senders_claim_each_notification_once(self, repository):
        for number in range(60):
            notify(repository, f"event-{number}")
        barrier, ids = threading.Barrier(8), []

        def send():
            barrier.wait()
            while notification := claimed(repository):
                ids.append(notification.notification_id)

        with ThreadPoolExecutor(8) as senders:
            for done in [senders.submit(send) for _ in range(8)]:
                done.result()
        assert len(ids) == len(set(ids)) == 60

    def test_concurrent_senders_expand_a_campaign_with_one_notification_per_subscriber(
        self, repository
    ):
        subscribers = [f"customer-{number}" for number in range(50)]
        add_customers(repository, *(build_customer(user_id=each) for each in subscribers))
        create_campaign(repository)
        barrier = threading.Barrier(8)
        user_ids: list[str] = []

        def send():
            barrier.wait()
            # While another sender has locked the campaign, there may be nothing to claim.
            while len(user_ids) < len(subscribers):
                repository.expand_campaign(NOW, 3)
                if notification := claimed(repository):
                    user_ids.append(notification.user_id)

        with ThreadPoolExecutor(8) as senders:
            for done in [senders.submit(send) for _ in range(8)]:
                done.result()
        assert sorted(user_ids) == sorted(subscribers)
        assert expand_campaigns(repository) == 0

    def test_concurrent_retention_jobs_delete_each_event_once(self, repository):
        for number in range(60):
            notify(repository, f"event-{number}")
        delete = lambda _: repository.delete_processed_events(before=LATER, limit=10)  # noqa: E731
        with ThreadPoolExecutor(8) as executor:
            assert sum(executor.map(delete, range(12))) == 60

    def test_an_event_whose_effect_fails_is_not_recorded_as_processed(self, repository):
        broken = Effect(
            customer=build_customer(),
            requests=[NotificationRequest(template="x", variables={"a": "\x00"}, user_id="m")],
        )
        with pytest.raises(Exception, match="unsupported Unicode escape"):
            repository.apply("event-1", broken, NOW)
        assert notify(repository)
        assert repository.claim(NOW, LATER).customer is None
