"""What hashing promises: few at once, nobody waits long, nothing tells an unknown email."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.context import CallContext, use
from services.users.domain import TooManySignInsError
from services.users.passwords import Passwords, Verdict, build_hasher
from services.users.tests.fakes import CountingHasher

PASSWORD = "correct horse"


class BlockingHasher(CountingHasher):
    """Hashes nothing until told to; tells how many are at it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def verify(self, hash, password):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(10)
        with self._lock:
            self.running -= 1
        return super().verify(hash, password)


def test_hashes_are_made_with_the_parameters_that_owasp_asks_for():
    assert build_hasher().hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_right_password_is_right_and_another_is_not():
    passwords = Passwords(hasher=CountingHasher())
    known = passwords.hash(PASSWORD)
    assert passwords.check(PASSWORD, known) == Verdict(is_right=True)
    assert passwords.check("something else", known) == Verdict(is_right=False)


def test_a_password_may_hold_any_character():
    passwords = Passwords(hasher=CountingHasher())
    known = passwords.hash("pässwörd\0 🐈")
    assert passwords.check("pässwörd\0 🐈", known).is_right
    assert not passwords.check("pässwörd", known).is_right


def test_no_hash_is_checked_with_the_same_work_and_is_never_right():
    hasher = CountingHasher()
    passwords = Passwords(hasher=hasher)
    known = passwords.hash(PASSWORD)
    done = (hasher.hashed, hasher.verified)
    assert not passwords.check("something else", known).is_right
    assert not passwords.check("something else", None).is_right
    assert (hasher.hashed, hasher.verified) == (done[0], done[1] + 2)


def test_an_outdated_hash_is_renewed_when_the_password_is_right():
    old = CountingHasher(time_cost=2).hash(PASSWORD)
    passwords = Passwords(hasher=CountingHasher())
    new = passwords.check(PASSWORD, old).new_hash
    assert passwords.check(PASSWORD, new) == Verdict(is_right=True)
    assert passwords.check("something else", old).new_hash is None


def test_no_more_hash_at_once_than_may_and_those_that_wait_get_their_turn():
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=2, queue=2, wait_seconds=10)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(passwords.check, PASSWORD, known) for _ in range(4)]
        assert all(hasher.begun.acquire(timeout=10) for _ in range(2))
        hasher.go.set()
        assert all(call.result().is_right for call in calls)
    assert hasher.most == 2


@pytest.mark.parametrize(("queue", "wait_seconds"), [(0, 60), (1, 0)])
def test_who_finds_no_place_or_no_turn_is_refused(queue, wait_seconds):
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=1, queue=queue, wait_seconds=wait_seconds)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(1) as caller:
        first = caller.submit(passwords.check, PASSWORD, known)
        assert hasher.begun.acquire(timeout=10)
        with pytest.raises(TooManySignInsError):
            passwords.hash(PASSWORD)
        hasher.go.set()
        assert first.result().is_right
    assert passwords.check(PASSWORD, known).is_right


def test_nobody_waits_for_longer_than_their_caller_does():
    hasher = BlockingHasher()
    passwords = Passwords(hasher=hasher, concurrency=1, queue=1, wait_seconds=60)
    known = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(1) as caller:
        caller.submit(passwords.check, PASSWORD, known)
        assert hasher.begun.acquire(timeout=10)
        with use(CallContext(deadline=time.monotonic())), pytest.raises(TooManySignInsError):
            passwords.hash(PASSWORD)
        hasher.go.set()
