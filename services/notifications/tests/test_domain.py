"""What becomes of a notification."""

from datetime import timedelta

import pytest

from services.notifications import domain
from services.notifications.domain import Audience, Status, Wording
from services.notifications.tests.fakes import NOW, POLICY, build_client, build_notification

LATER = NOW + timedelta(seconds=30)


def failed_times(count):
    notification = build_notification()
    for _ in range(count):
        notification = domain.not_sent(notification, "SMTP_451", POLICY, LATER)
    return notification


@pytest.mark.parametrize(("wanted", "language"), [("fr", "fr"), ("en", "en"), ("", "fr")])
def test_a_client_is_written_to_in_their_language_or_in_french(wanted, language):
    assert domain.address(build_client(language=wanted)).language == language


@pytest.mark.parametrize(
    ("audience", "client", "wanted"),
    [
        (Audience.CLIENT, build_client(), True),
        (Audience.CLIENT, build_client(notifications_enabled=False), False),
        (Audience.SUBSCRIBERS, build_client(notifications_enabled=False), False),
        (Audience.CLIENT, None, True),
        (Audience.ADMIN, None, True),
    ],
)
def test_what_a_client_does_not_want_is_not_sent(audience, client, wanted):
    assert domain.is_wanted(build_notification(audience=audience), client) is wanted


def test_what_was_accepted_is_sent_and_its_earlier_error_is_forgotten():
    sent = domain.sent(failed_times(1), LATER)
    assert (sent.status, sent.sent_at, sent.attempt_count, sent.error) == (
        Status.SENT,
        LATER,
        2,
        "",
    )


@pytest.mark.parametrize(("count", "seconds"), [(1, 1), (2, 5)])
def test_a_failure_is_tried_again_after_growing_pauses(count, seconds):
    failed = failed_times(count)
    assert (failed.status, failed.attempt_count) == (Status.PENDING, count)
    assert failed.due_at == LATER + timedelta(seconds=seconds)


def test_the_last_pause_is_used_again_when_there_are_more_tries():
    assert POLICY.pause(99) == timedelta(seconds=5)


def test_the_last_failure_is_for_good_and_says_why():
    failed = failed_times(POLICY.attempts)
    assert (failed.status, failed.attempt_count, failed.error) == (Status.FAILED, 3, "SMTP_451")


def test_a_client_who_is_not_known_yet_is_waited_for_without_counting_tries():
    waiting = domain.await_client(build_notification(), POLICY, LATER)
    assert (waiting.status, waiting.attempt_count) == (Status.PENDING, 0)
    assert waiting.due_at == LATER + POLICY.client_pause


def test_a_client_who_never_becomes_known_is_a_failure_at_last():
    over = NOW + POLICY.patience
    assert domain.await_client(build_notification(), POLICY, over).error == "CLIENT_UNKNOWN"


def test_the_send_log_shows_the_subject_and_the_language():
    worded = domain.word(build_notification(), Wording(language="fr", subject="Oui", text="Oui !"))
    assert (worded.language, worded.subject) == ("fr", "Oui")
