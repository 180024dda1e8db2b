"""Signing in does not reveal which emails have accounts, and throttles failures."""

import pytest

from services.users.domain import (
    FAILURE_LIMIT,
    FAILURE_WINDOW,
    Account,
    AccountThrottledError,
    InvalidCredentialsError,
)
from services.users.passwords import Passwords
from services.users.sign_in import SignIn
from services.users.tests.fakes import (
    CountingHasher,
    InMemoryUsersRepository,
    ManualClock,
    build_user,
)

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
def sign_in(repository, hasher, clock):
    passwords = Passwords(hasher=hasher)
    return SignIn(repository=repository, passwords=passwords, clock=clock).sign_in


def fail(sign_in, email, times=1):
    for _ in range(times):
        with pytest.raises(InvalidCredentialsError):
            sign_in(email, "something else")


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


def test_signing_in_replaces_an_outdated_hash(repository, clock):
    today = CountingHasher(time_cost=2)
    sign_in = SignIn(repository=repository, passwords=Passwords(hasher=today), clock=clock)
    sign_in.sign_in(USER.email, PASSWORD)
    kept = repository.find_by_email(USER.email.lower()).password_hash
    assert not today.check_needs_rehash(kept)
    assert sign_in.sign_in(USER.email, PASSWORD) == USER
