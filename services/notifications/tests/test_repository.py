"""The promises of a notifications repository, kept by the fake and by the real store."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.errors import StoreUnavailableError
from services.common.storage import postgres
from services.notifications import domain
from services.notifications.domain import Audience, Channel, Effect, Notice, Status, Wording
from services.notifications.repository import (
    NotificationsRepository,
    PostgresNotificationsRepository,
)
from services.notifications.tests.fakes import (
    NOW,
    POLICY,
    InMemoryNotificationsRepository,
    build_client,
)

LATER = NOW + timedelta(minutes=1)
FACTS = {"items": [{"title": "Croquettes <été>", "quantity": 2}], "discount": "0.00"}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def repository(request):
    repository: NotificationsRepository = (
        PostgresNotificationsRepository(request.getfixturevalue("engine"))
        if request.param == "postgres"
        else InMemoryNotificationsRepository()
    )
    return repository


def know(repository, *clients, event_id="", now=NOW):
    for client in clients:
        repository.apply(event_id or f"user-{client.user_id}", Effect(client=client), now)


def tell(repository, event_id="event-1", *, now=NOW, **changes):
    values = {"template": "welcome", "facts": FACTS, "user_id": "marie"}
    return repository.apply(event_id, Effect(notices=[Notice(**values | changes)]), now)


def listed(repository, user_id="marie", page=1, limit=10):
    return repository.list_of(user_id, page=page, limit=limit)[0]


def launch(repository, event_id="promo", **changes):
    tell(repository, event_id, audience=Audience.SUBSCRIBERS, user_id="", **changes)


def continue_campaigns(repository, now=NOW, limit=100):
    """Continue campaigns to their end; return how many steps that took."""
    return sum(1 for _ in iter(lambda: repository.continue_campaign(now, limit), False))


def templates(repository, now):
    """Return the templates of what is due, in the order in which it is claimed."""
    claims = iter(lambda: claimed(repository, now, now + timedelta(minutes=1)), None)
    return [notification.template for notification in claims]


def claimed(repository, now=NOW, until=LATER):
    claim = repository.claim(now, until)
    return claim and claim.notification


def test_a_notice_becomes_a_notification_that_is_due_now(repository):
    assert tell(repository, channel=Channel.SMS)
    (notification,) = listed(repository)
    assert (notification.channel, notification.template) == (Channel.SMS, "welcome")
    assert (notification.facts, notification.status) == (FACTS, Status.PENDING)
    assert (notification.created_at, notification.due_at) == (NOW, NOW)
    assert (notification.attempt_count, notification.subject) == (0, "")


def test_an_event_is_done_once(repository):
    assert tell(repository)
    assert not tell(repository)
    assert tell(repository, "event-2")
    assert len(listed(repository)) == 2


def test_a_claim_comes_with_its_client_and_is_hidden_from_others(repository):
    know(repository, build_client())
    tell(repository)
    claim = repository.claim(NOW, LATER)
    assert claim.client == build_client()
    assert claim.notification.user_id == "marie"
    assert repository.claim(NOW, LATER) is None


def test_a_client_who_is_not_known_yet_is_none(repository):
    tell(repository)
    assert repository.claim(NOW, LATER).client is None


def test_what_its_sender_did_not_finish_becomes_due_again(repository):
    tell(repository)
    first = claimed(repository)
    assert claimed(repository, LATER).notification_id == first.notification_id


def test_what_has_been_due_longest_comes_first(repository):
    tell(repository, "late", template="second", now=NOW)
    tell(repository, "early", template="first", now=NOW - timedelta(seconds=1))
    assert [claimed(repository).template for _ in range(2)] == ["first", "second"]


def test_what_is_not_due_is_not_claimed(repository):
    tell(repository, now=LATER)
    assert repository.claim(NOW, LATER) is None


def test_subscribers_are_those_who_accept_notifications(repository):
    off = build_client(user_id="off", notifications_enabled=False)
    know(repository, build_client(), build_client(user_id="jean"), off)
    launch(repository, channel=Channel.SMS)
    continue_campaigns(repository)
    assert [len(listed(repository, each)) for each in ("marie", "jean", "off")] == [1, 1, 0]
    (told,) = listed(repository)
    assert (told.facts, told.channel, told.template) == (FACTS, Channel.SMS, "welcome")
    assert (told.audience, told.due_at) == (Audience.SUBSCRIBERS, NOW)


def test_a_campaign_tells_nobody_before_it_is_continued(repository):
    know(repository, build_client())
    launch(repository)
    assert listed(repository) == []
    assert repository.claim(NOW, LATER) is None


def test_a_campaign_goes_on_where_it_stopped_and_tells_each_subscriber_once(repository):
    subscribers = [f"client-{number}" for number in range(5)]
    know(repository, *(build_client(user_id=each) for each in subscribers))
    launch(repository)
    told = []
    for _ in range(3):
        assert repository.continue_campaign(NOW, 2)
        told.append([len(listed(repository, each)) for each in subscribers])
    assert told == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    continue_campaigns(repository)
    assert [len(listed(repository, each)) for each in subscribers] == [1, 1, 1, 1, 1]
    assert not repository.continue_campaign(NOW, 2)


def test_a_campaign_is_for_those_who_were_clients_when_it_began(repository):
    know(repository, build_client(user_id="old"))
    launch(repository)
    know(repository, build_client(user_id="young"), now=LATER)
    know(repository, build_client(user_id="old", language="en"), event_id="changed", now=LATER)
    continue_campaigns(repository, LATER)
    assert [len(listed(repository, each)) for each in ("old", "young")] == [1, 0]


def test_a_campaign_in_a_shop_without_subscribers_is_over_at_once(repository):
    launch(repository)
    continue_campaigns(repository)
    know(repository, build_client())
    assert not repository.continue_campaign(NOW, 2)


def test_campaigns_come_one_after_the_other(repository):
    know(repository, build_client(), build_client(user_id="jean"))
    for number in (1, 2):
        launch(repository, f"promo-{number}", template=f"promo {number}")
    for seconds in range(continue_campaigns(repository, limit=1)):
        continue_campaigns(repository, NOW + timedelta(seconds=seconds))
    assert templates(repository, NOW) == ["promo 1", "promo 1", "promo 2", "promo 2"]


@pytest.mark.parametrize("audience", [Audience.CLIENT, Audience.ADMIN])
def test_what_goes_to_all_subscribers_comes_after_everything_else(repository, audience):
    know(repository, build_client())
    launch(repository, template="promo")
    continue_campaigns(repository)
    user_id = "marie" if audience is Audience.CLIENT else ""
    for second in (1, 2):
        now = NOW + timedelta(seconds=second)
        changes = {"template": f"order {second}", "audience": audience, "user_id": user_id}
        tell(repository, f"order-{second}", now=now, **changes)
    assert templates(repository, NOW + timedelta(seconds=3)) == ["order 1", "order 2", "promo"]


def test_what_is_for_the_administrator_is_nobodys(repository):
    tell(repository, audience=Audience.ADMIN, user_id="")
    claim = repository.claim(NOW, LATER)
    assert (claim.notification.audience, claim.client) == (Audience.ADMIN, None)
    assert claim.notification.user_id == ""


def test_a_client_stays_as_the_latest_event_tells(repository):
    newer = build_client(language="en", as_of=LATER)
    know(repository, newer, event_id="new")
    know(repository, build_client(), event_id="old")
    tell(repository)
    assert repository.claim(NOW, LATER).client == newer


def test_a_client_can_change(repository):
    changed = build_client(email="new@example.org", notifications_enabled=False)
    know(repository, build_client(), event_id="created")
    know(repository, changed, event_id="updated")
    tell(repository)
    assert repository.claim(NOW, LATER).client == changed


def test_what_became_of_a_notification_is_kept(repository):
    tell(repository)
    worded = domain.word(
        claimed(repository), Wording(language="fr", subject="Bienvenue\xa0!", text=".")
    )
    sent = domain.sent(worded, LATER)
    repository.save(sent)
    assert listed(repository) == [sent]
    assert repository.claim(LATER, LATER) is None


def test_a_failure_is_due_again_and_says_why(repository):
    tell(repository)
    failed = domain.not_sent(claimed(repository), "SMTP_451", POLICY, NOW)
    repository.save(failed)
    assert repository.claim(NOW, LATER) is None
    assert claimed(repository, failed.due_at) == replace(failed, due_at=LATER)


def test_what_was_sent_stays_sent(repository):
    tell(repository)
    slow = claimed(repository)
    sent = domain.sent(claimed(repository, LATER), LATER)
    repository.save(sent)
    repository.save(domain.not_sent(slow, "SMTP_UNREACHABLE", POLICY, LATER))
    repository.forget(slow)
    assert listed(repository) == [sent]


def test_what_is_not_wanted_leaves_no_trace(repository):
    tell(repository)
    repository.forget(claimed(repository))
    assert repository.list_of("marie", page=1, limit=10) == ([], 0)


def test_a_page_is_a_part_of_a_clients_notifications_newest_first(repository):
    for number in range(3):
        tell(
            repository, f"event-{number}", template=str(number), now=NOW + number * POLICY.pause(1)
        )
    tell(repository, "other", user_id="jean")
    page, total = repository.list_of("marie", page=1, limit=2)
    assert ([n.template for n in page], total) == (["2", "1"], 3)
    assert [n.template for n in listed(repository, page=2, limit=2)] == ["0"]


def test_an_event_is_remembered_until_it_is_old_enough_to_be_forgotten(repository):
    tell(repository, "old", now=NOW - timedelta(seconds=1))
    tell(repository, "recent", now=NOW)
    assert repository.delete_processed_events(before=NOW, limit=10) == 1
    assert not tell(repository, "recent")
    assert tell(repository, "old")


def test_so_many_events_are_forgotten_at_a_time(repository):
    for number in range(3):
        tell(repository, f"event-{number}")
    assert [repository.delete_processed_events(before=LATER, limit=2) for _ in range(3)] == [
        2,
        1,
        0,
    ]


def test_what_was_sent_or_given_up_is_kept_for_a_time(repository):
    second = timedelta(seconds=1)
    for number, now in enumerate((NOW - second, NOW - second, NOW)):
        tell(repository, f"event-{number}", now=now, template=str(number))
        repository.save(domain.sent(claimed(repository), LATER))
    assert [repository.delete_finished(before=NOW, limit=1) for _ in range(3)] == [1, 1, 0]
    assert [notification.template for notification in listed(repository)] == ["2"]


def test_what_is_still_to_be_sent_is_not_forgotten_however_old(repository):
    tell(repository)
    assert repository.delete_finished(before=LATER, limit=10) == 0
    assert len(listed(repository)) == 1


@pytest.mark.integration
def test_a_store_that_is_away_is_said_so():
    engine = postgres.create_engine("postgresql://127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError):
        PostgresNotificationsRepository(engine).ping()


@pytest.mark.integration
class TestUnderConcurrency:
    @pytest.fixture
    def repository(self, engine):
        return PostgresNotificationsRepository(engine)

    def test_an_event_is_done_once_by_however_many_at_once(self, repository):
        with ThreadPoolExecutor(8) as handlers:
            firsts = list(handlers.map(lambda _: tell(repository), range(20)))
        assert sum(firsts) == 1
        assert len(listed(repository)) == 1

    def test_many_senders_claim_each_notification_once(self, repository):
        for number in range(60):
            tell(repository, f"event-{number}")
        together, ids = threading.Barrier(8), []

        def send():
            together.wait()
            while notification := claimed(repository):
                ids.append(notification.notification_id)

        with ThreadPoolExecutor(8) as senders:
            for done in [senders.submit(send) for _ in range(8)]:
                done.result()
        assert len(ids) == len(set(ids)) == 60

    def test_many_senders_continue_a_campaign_and_tell_each_subscriber_once(self, repository):
        subscribers = [f"client-{number}" for number in range(50)]
        know(repository, *(build_client(user_id=each) for each in subscribers))
        launch(repository)
        together = threading.Barrier(8)
        told: list[str] = []

        def send():
            together.wait()
            # Who finds that somebody else continues the campaign looks again later.
            while len(told) < len(subscribers):
                repository.continue_campaign(NOW, 3)
                if notification := claimed(repository):
                    told.append(notification.user_id)

        with ThreadPoolExecutor(8) as senders:
            for done in [senders.submit(send) for _ in range(8)]:
                done.result()
        assert sorted(told) == sorted(subscribers)
        assert continue_campaigns(repository) == 0

    def test_many_housekeepers_forget_each_event_once(self, repository):
        for number in range(60):
            tell(repository, f"event-{number}")
        forget = lambda _: repository.delete_processed_events(before=LATER, limit=10)  # noqa: E731
        with ThreadPoolExecutor(8) as housekeepers:
            assert sum(housekeepers.map(forget, range(12))) == 60

    def test_an_effect_that_cannot_be_written_is_not_remembered_as_done(self, repository):
        broken = Effect(
            client=build_client(), notices=[Notice(template="x", facts={"a": "\x00"}, user_id="m")]
        )
        with pytest.raises(Exception, match="u0000"):
            repository.apply("event-1", broken, NOW)
        assert tell(repository)
        assert repository.claim(NOW, LATER).client is None
