"""Passwords, hashed with argon2id: few at a time, because each costs 19 MiB and 25 ms of a core.

Signing in is where anybody can make this service work hard. So a fixed number of hashes
runs at once, a few more calls wait for a moment, and the rest is refused at once.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import argon2

from services.common.context import current
from services.users.domain import TooManySignInsError


class Hasher(Protocol):
    """What is needed of argon2.PasswordHasher."""

    def hash(self, password: str) -> str:
        """Return a new hash, with its salt and parameters in it."""

    def verify(self, hash: str, password: str) -> bool:
        """Return True; VerifyMismatchError when the password is another."""

    def check_needs_rehash(self, hash: str) -> bool:
        """Return whether the hash was made with other parameters."""


def build_hasher() -> Hasher:
    """Return argon2id with the parameters that OWASP's password storage cheat sheet asks for."""
    return argon2.PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)


@dataclass(frozen=True)
class Verdict:
    """Whether a password is right; `new_hash` is to be kept when the old one is outdated."""

    is_right: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and checks passwords; TooManySignInsError when too many are waiting.

    `concurrency` hashes run at once, `queue` calls wait, each for `wait_seconds` at most.
    """

    def __init__(
        self, *, hasher: Hasher, concurrency: int = 2, queue: int = 6, wait_seconds: float = 1.0
    ) -> None:
        self._hasher = hasher
        self._places = threading.Semaphore(concurrency + queue)
        self._slots = threading.Semaphore(concurrency)
        self._wait_seconds = wait_seconds
        # Of a password that nobody knows: checking it takes as long as checking a real one.
        self._nobodys_hash = hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return a new hash of a password."""
        with self._slot():
            return self._hasher.hash(password)

    def check(self, password: str, password_hash: str | None) -> Verdict:
        """Return whether a password is the hashed one; None works as hard and is never right."""
        with self._slot():
            matches = self._matches(password, password_hash or self._nobodys_hash)
            if password_hash is None or not matches:
                return Verdict(is_right=False)
            outdated = self._hasher.check_needs_rehash(password_hash)
            return Verdict(True, self._hasher.hash(password) if outdated else None)

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Wait for a turn to hash, not for long, and not among many."""
        with _held(self._places, 0), _held(self._slots, self._patience_seconds()):
            yield

    def _patience_seconds(self) -> float:
        remaining = current().remaining_seconds()
        return self._wait_seconds if remaining is None else min(self._wait_seconds, remaining)


@contextmanager
def _held(semaphore: threading.Semaphore, seconds: float) -> Iterator[None]:
    if not semaphore.acquire(timeout=seconds):
        raise TooManySignInsError
    try:
        yield
    finally:
        semaphore.release()
