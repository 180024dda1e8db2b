"""Hashing: limited concurrency, a limited wait, the same work for unknown emails."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.context import CallContext, use
from services.users.domain import TooManySignInsError
from services.users.passwords import PasswordCheck, Passwords, build_hasher
from services.users.tests.fakes import CountingHasher

PASSWORD = "correct horse"


class BlockingHasher(CountingHasher):
    """Blocks until `go` is set; counts concurrent calls."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.started = threading.Semaphore(0)
        self.running = 0
        self.max_running = 0
        self._lock = threading.Lock()

    def verify(self, hash, password):
        with self._lock:
            self.running += 1
            self.max_running = max(self.max_running, self.running)
        self.started.release()
        assert self.go.wait(10)
        with self._lock:
            self.running -= 1
        return super().verify(hash, password)


def test_hashes_are_made_with_the_parameters_that_owasp_asks_for():
    assert build_hasher().hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_only_the_right_password_matches():
    passwords = Passwords(hasher=CountingHasher())
    known = passwords.hash(PASSWORD)
    assert passwords.check(PASSWORD, known) == PasswordCheck(matches=True)
    assert passwords.check("something else", known) == PasswordCheck(matches=False)


def test_a_password_may_contain_any_character():
    passwords = Passwords(hasher=CountingHasher())
    known = passwords.hash("pässwörd\0 🐈")
    assert passwords.check("pässwörd\0 🐈", known).matches
    assert not passwords.check("pässwörd", known).matches


def test_checking_without_a_hash_takes_the_same_work_and_never_matches():
    hasher = CountingHasher()
    passwords = Passwords(hasher=hasher)
    known = passwords.hash(PASSWORD)
    done = (hasher.hashed, hasher.verified)
    assert not passwords.check("something else", known).matches
    assert not passwords.check("something else", None).matches
    assert (hasher.hashed, hasher.verified) == (done[0], done[1] + 2)


def test_an_outdated_hash_is_renewed_when_the_password_matches():
    old = CountingHasher(time_cost=2).hash(PASSWORD)
    passwords = Passwords(hasher=CountingHasher())
    new = passwords.check(PASSWORD, old).new_hash
    assert passwords.check(PASSWORD, new) == PasswordCheck(matches=True)
    assert passwords.check("something else", old).new_hash is None


def test_concurrent_hashes_are_limited_and_queued_calls_are_served():
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=2, queue=2, wait_seconds=10)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(passwords.check, PASSWORD, known) for _ in range(4)]
        assert all(hasher.started.acquire(timeout=10) for _ in range(2))
        hasher.go.set()
        assert all(call.result().matches for call in calls)
    assert hasher.max_running == 2


@pytest.mark.parametrize(("queue", "wait_seconds"), [(0, 60), (1, 0)])
def test_a_call_is_rejected_when_the_queue_is_full_or_its_wait_times_out(queue, wait_seconds):
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=1, queue=queue, wait_seconds=wait_seconds)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(1) as caller:
        first = caller.submit(passwords.check, PASSWORD, known)
        assert hasher.started.acquire(timeout=10)
        with pytest.raises(TooManySignInsError):
            passwords.hash(PASSWORD)
        hasher.go.set()
        assert first.result().matches
    assert passwords.check(PASSWORD, known).matches


def test_a_call_waits_no_longer_than_its_deadline():
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=1, queue=1, wait_seconds=60)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(1) as caller:
        caller.submit(passwords.check, PASSWORD, known)
        assert hasher.started.acquire(timeout=10)
        with use(CallContext(deadline=time.monotonic())), pytest.raises(TooManySignInsError):
            passwords.hash(PASSWORD)
        hasher.go.set()
