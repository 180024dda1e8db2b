"""The rules of notifications: language, consent, retries."""

from datetime import timedelta

import pytest

from services.common.languages import Language
from services.notifications import domain
from services.notifications.domain import Audience, Content, Status
from services.notifications.tests.fakes import NOW, POLICY, build_customer, build_notification

LATER = NOW + timedelta(seconds=30)


def failed_times(count):
    notification = build_notification()
    for _ in range(count):
        notification = domain.record_failure(notification, "SMTP_451", POLICY, LATER)
    return notification


@pytest.mark.parametrize(("wanted", "language"), [("fr", "fr"), ("en", "en"), ("", "fr")])
def test_a_customer_gets_mails_in_their_language_or_the_default_one(wanted, language):
    assert domain.to_recipient(build_customer(language=wanted)).language == language


@pytest.mark.parametrize(
    ("audience", "customer", "wanted"),
    [
        (Audience.CUSTOMER, build_customer(), True),
        (Audience.CUSTOMER, build_customer(notifications_enabled=False), False),
        (Audience.SUBSCRIBERS, build_customer(notifications_enabled=False), False),
        (Audience.CUSTOMER, None, True),
        (Audience.ADMIN, None, True),
    ],
)
def test_a_customer_who_opted_out_gets_no_notification(audience, customer, wanted):
    assert domain.should_send(build_notification(audience=audience), customer) is wanted


def test_success_clears_the_error_of_earlier_attempts():
    sent = domain.record_success(failed_times(1), LATER)
    assert (sent.status, sent.sent_at, sent.attempt_count, sent.error) == (
        Status.SENT,
        LATER,
        2,
        "",
    )


@pytest.mark.parametrize(("count", "seconds"), [(1, 1), (2, 5)])
def test_a_failure_is_retried_after_growing_delays(count, seconds):
    failed = failed_times(count)
    assert (failed.status, failed.attempt_count) == (Status.PENDING, count)
    assert failed.due_at == LATER + timedelta(seconds=seconds)


def test_the_last_delay_repeats():
    assert POLICY.delay_after(99) == timedelta(seconds=5)


def test_after_the_last_attempt_the_notification_is_failed_with_its_cause():
    failed = failed_times(POLICY.max_attempts)
    assert (failed.status, failed.attempt_count, failed.error) == (Status.FAILED, 3, "SMTP_451")


def test_an_unknown_customer_is_awaited_without_counting_attempts():
    waiting = domain.await_customer(build_notification(), POLICY, LATER)
    assert (waiting.status, waiting.attempt_count) == (Status.PENDING, 0)
    assert waiting.due_at == LATER + POLICY.unknown_customer_delay


def test_a_customer_who_stays_unknown_is_a_failure_after_the_timeout():
    timeout = NOW + POLICY.unknown_customer_timeout
    assert domain.await_customer(build_notification(), POLICY, timeout).error == "CUSTOMER_UNKNOWN"


def test_the_send_log_shows_the_subject_and_the_language():
    rendered = domain.record_content(
        build_notification(), Content(language=Language.FR, subject="Oui", text="Oui !")
    )
    assert (rendered.language, rendered.subject) == ("fr", "Oui")
