"""Signing in does not reveal which emails have accounts, and throttles failures."""

import pytest

from services.users.devices import KnownDevices
from services.users.domain import Account, AccountThrottledError, InvalidCredentialsError
from services.users.passwords import Passwords
from services.users.sign_in import Credentials, SignIn
from services.users.tests.fakes import (
    CountingHasher,
    InMemoryUsersRepository,
    ManualClock,
    build_user,
)
from services.users.throttling import EMAIL_FAILURE_LIMIT, FAILURE_LIMIT, FAILURE_WINDOW

PASSWORD = "correct horse"
USER = build_user()
UNKNOWN = "unknown@example.org"


@pytest.fixture
def hasher():
    return CountingHasher()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def repository(hasher):
    repository = InMemoryUsersRepository()
    repository.add(Account(USER, hasher.hash(PASSWORD)))
    return repository


@pytest.fixture
def devices(clock):
    return KnownDevices(load_key=lambda: b"key", clock=clock)


def build_sign_in(repository, hasher, devices, clock):
    service = SignIn(
        repository=repository, passwords=Passwords(hasher=hasher), devices=devices, clock=clock
    )

    def sign_in(email, password, **where):
        return service.sign_in(Credentials(email=email, password=password, **where))

    return sign_in


@pytest.fixture
def sign_in(repository, hasher, devices, clock):
    return build_sign_in(repository, hasher, devices, clock)


def fail(sign_in, email, times=1, **where):
    for _ in range(times):
        with pytest.raises(InvalidCredentialsError):
            sign_in(email, "something else", **where)


def fail_everywhere(sign_in, email):
    """Fail from so many networks that the email alone is throttled."""
    for number in range(EMAIL_FAILURE_LIMIT // FAILURE_LIMIT):
        fail(sign_in, email, FAILURE_LIMIT, caller_address=f"198.51.{number}.1")


def test_the_right_password_signs_in_whatever_the_case_of_the_email(sign_in):
    assert sign_in(USER.email.upper(), PASSWORD) == USER


@pytest.mark.parametrize("email", [USER.email, UNKNOWN])
def test_known_and_unknown_emails_fail_after_the_same_work(sign_in, hasher, email):
    hashed = hasher.hashed
    fail(sign_in, email)
    assert (hasher.verified, hasher.hashed) == (1, hashed)


@pytest.mark.parametrize("email", [USER.email, UNKNOWN])
def test_known_and_unknown_emails_are_throttled_alike(sign_in, hasher, email):
    fail(sign_in, email, FAILURE_LIMIT)
    with pytest.raises(AccountThrottledError) as caught:
        sign_in(email.upper(), PASSWORD)
    assert caught.value.metadata == {"retryAfterSeconds": "900"}
    assert hasher.verified == FAILURE_LIMIT


def test_a_throttled_email_does_not_throttle_another(sign_in):
    fail(sign_in, UNKNOWN, FAILURE_LIMIT)
    assert sign_in(USER.email, PASSWORD) == USER


def test_signing_in_works_again_when_the_window_has_expired(sign_in, clock):
    fail(sign_in, USER.email, FAILURE_LIMIT)
    clock.now += FAILURE_WINDOW
    assert sign_in(USER.email, PASSWORD) == USER


def test_signing_in_resets_the_count_of_failures(sign_in):
    fail(sign_in, USER.email, FAILURE_LIMIT - 1)
    sign_in(USER.email, PASSWORD)
    fail(sign_in, USER.email, FAILURE_LIMIT)


def test_failures_in_one_network_do_not_lock_out_another(sign_in):
    fail(sign_in, USER.email, FAILURE_LIMIT, caller_address="198.51.100.1")
    with pytest.raises(AccountThrottledError):
        sign_in(USER.email, PASSWORD, caller_address="198.51.100.2")
    assert sign_in(USER.email, PASSWORD, caller_address="192.0.2.1") == USER


@pytest.mark.parametrize("email", [USER.email, UNKNOWN])
def test_many_networks_together_are_throttled_whether_or_not_there_is_an_account(sign_in, email):
    fail_everywhere(sign_in, email)
    with pytest.raises(AccountThrottledError):
        sign_in(email, PASSWORD, caller_address="192.0.2.1")


def test_a_known_device_signs_in_however_often_the_email_fails_elsewhere(sign_in, devices):
    token = devices.issue(USER.email.lower())
    fail_everywhere(sign_in, USER.email)
    where = {"caller_address": "198.51.1.1", "device_token": token}
    assert sign_in(USER.email, PASSWORD, **where) == USER


def test_a_known_device_is_throttled_by_its_own_failures(sign_in, devices):
    token = devices.issue(USER.email.lower())
    fail(sign_in, USER.email, FAILURE_LIMIT, device_token=token)
    with pytest.raises(AccountThrottledError):
        sign_in(USER.email, PASSWORD, device_token=token)


def test_the_token_of_another_account_is_no_way_in(sign_in, devices):
    fail(sign_in, USER.email, FAILURE_LIMIT)
    with pytest.raises(AccountThrottledError):
        sign_in(USER.email, PASSWORD, device_token=devices.issue(UNKNOWN))


def test_signing_in_replaces_an_outdated_hash(repository, devices, clock):
    today = CountingHasher(time_cost=2)
    sign_in = build_sign_in(repository, today, devices, clock)
    sign_in(USER.email, PASSWORD)
    kept = repository.find_by_email(USER.email.lower()).password_hash
    assert not today.check_needs_rehash(kept)
    assert sign_in(USER.email, PASSWORD) == USER
