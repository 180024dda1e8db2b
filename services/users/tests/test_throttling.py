"""The limits of failed sign-ins, and the networks of callers."""

from datetime import timedelta

import pytest

from services.users import throttling
from services.users.domain import AccountThrottledError
from services.users.tests.fakes import NOW
from services.users.throttling import (
    EMAIL_FAILURE_LIMIT,
    FAILURE_LIMIT,
    FAILURE_WINDOW,
    Failures,
    SignInFailures,
    Throttle,
)

SECOND = timedelta(seconds=1)
KEYS = [Throttle("email", FAILURE_LIMIT)]
FULL = {"email": SignInFailures(FAILURE_LIMIT, NOW)}


def test_the_limit_of_failures_is_counted_and_the_next_is_throttled():
    failures: Failures = {}
    for _ in range(FAILURE_LIMIT):
        failures = throttling.record(KEYS, failures, NOW)
    assert failures == FULL
    with pytest.raises(AccountThrottledError):
        throttling.record(KEYS, failures, NOW)


def test_throttling_answers_the_remaining_time_of_the_window():
    with pytest.raises(AccountThrottledError) as caught:
        throttling.check(KEYS, FULL, NOW)
    assert caught.value.metadata == {"retryAfterSeconds": str(15 * 60)}
    with pytest.raises(AccountThrottledError) as caught:
        throttling.check(KEYS, FULL, NOW + FAILURE_WINDOW - SECOND / 2)
    assert caught.value.metadata == {"retryAfterSeconds": "1"}


def test_an_expired_window_no_longer_throttles():
    later = NOW + FAILURE_WINDOW
    throttling.check(KEYS, FULL, later)
    assert throttling.record(KEYS, FULL, later) == {"email": SignInFailures(1, later)}


def test_a_correct_password_is_rejected_while_throttled():
    with pytest.raises(AccountThrottledError):
        throttling.clear(KEYS, FULL, NOW)


def test_a_correct_password_clears_the_failures_of_its_network_alone():
    throttles = throttling.throttles_of("email", network="net", device_id="")
    by_network, by_email = (throttle.key for throttle in throttles)
    failures = {
        by_network: SignInFailures(FAILURE_LIMIT - 1, NOW),
        by_email: SignInFailures(EMAIL_FAILURE_LIMIT - 1, NOW),
    }
    assert throttling.clear(throttles, failures, NOW) == {by_email: failures[by_email]}


def test_a_known_device_has_a_limit_of_its_own():
    (throttle,) = throttling.throttles_of("email", network="net", device_id="phone")
    elsewhere = throttling.throttles_of("email", network="net", device_id="")
    assert throttle.limit == FAILURE_LIMIT
    assert throttle.key not in [each.key for each in elsewhere]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", ""),
        ("not an address", ""),
        ("192.0.2.1, 198.51.100.1", ""),
    ],
)
def test_a_caller_is_counted_by_its_network(address, network):
    assert throttling.caller_network(address) == network
