"""Passwords, hashed with argon2id. One hash costs 19 MiB and 25 ms of a core.

Signing in needs no account, so anybody can load this service with it. Therefore a fixed
number of hashes runs concurrently, a bounded queue of calls waits for a limited time, and
further calls are rejected at once.
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


class PasswordHasher(Protocol):
    """The part of argon2.PasswordHasher that is used here."""

    def hash(self, password: str) -> str:
        """Return a new hash, with its salt and parameters in it."""

    def verify(self, hash: str, password: str) -> bool:
        """Return True; VerifyMismatchError when the password does not match."""

    def check_needs_rehash(self, hash: str) -> bool:
        """Return whether the hash was made with other parameters."""


def build_hasher() -> PasswordHasher:
    """Build argon2id with the parameters of OWASP's password storage cheat sheet."""
    return argon2.PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)


@dataclass(frozen=True)
class PasswordCheck:
    """Whether a password matches its hash.

    `new_hash` replaces a hash that was made with outdated parameters.
    """

    matches: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and checks passwords; TooManySignInsError when too many calls are waiting.

    `concurrency` hashes run at once, `queue` calls wait, each for `wait_seconds` at most.
    """

    def __init__(
        self,
        *,
        hasher: PasswordHasher,
        concurrency: int = 2,
        queue: int = 6,
        wait_seconds: float = 1.0,
    ) -> None:
        self._hasher = hasher
        self._admitted = threading.Semaphore(concurrency + queue)
        self._running = threading.Semaphore(concurrency)
        self._wait_seconds = wait_seconds
        # Checked for an unknown email, so that it takes as long as a known one.
        self._dummy_hash = hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Hash a password with a new salt."""
        with self._limited_concurrency():
            return self._hasher.hash(password)

    def check(self, password: str, password_hash: str | None) -> PasswordCheck:
        """Check a password; without a hash it takes as long and never matches."""
        with self._limited_concurrency():
            matches = self._matches(password, password_hash or self._dummy_hash)
            if password_hash is None or not matches:
                return PasswordCheck(matches=False)
            outdated = self._hasher.check_needs_rehash(password_hash)
            return PasswordCheck(True, self._hasher.hash(password) if outdated else None)

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    @contextmanager
    def _limited_concurrency(self) -> Iterator[None]:
        """Join the queue if it has room, then wait in it for a limited time."""
        with _acquired(self._admitted, 0), _acquired(self._running, self._queue_timeout_seconds()):
            yield

    def _queue_timeout_seconds(self) -> float:
        remaining = current().remaining_seconds()
        return self._wait_seconds if remaining is None else min(self._wait_seconds, remaining)


@contextmanager
def _acquired(semaphore: threading.Semaphore, timeout_seconds: float) -> Iterator[None]:
    if not semaphore.acquire(timeout=timeout_seconds):
        raise TooManySignInsError
    try:
        yield
    finally:
        semaphore.release()
