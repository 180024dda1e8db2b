"""Accounts and keys in memory, and a cheap argon2id that counts its calls."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import argon2
from typing_extensions import override

from services.common.clock import new_id
from services.users.domain import (
    Account,
    EmailExistsError,
    KeyPolicy,
    Role,
    SigningKey,
    User,
    UserNotFoundError,
    canonical_email,
)
from services.users.key_repository import ChangeKeys, KeyRepository
from services.users.passwords import PasswordHasher
from services.users.repository import UsersRepository
from services.users.throttling import ChangeFailures, Failures, SignInFailures

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = KeyPolicy(lifetime=timedelta(days=30), lead_time=timedelta(minutes=2))


def build_user(**changes) -> User:
    """Build a customer with these changes."""
    user = User(
        user_id=new_id(),
        email="Marie@Example.org",
        first_name="Marie",
        last_name="Petit",
        animal_type="cat",
        created_at=NOW,
    )
    return replace(user, **changes)


class ManualClock:
    """A clock that tests move; `monotonic` moves with it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class CountingHasher(PasswordHasher):
    """Real argon2id with minimal parameters; counts its calls."""

    def __init__(self, *, time_cost: int = 1) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.hashed = 0
        self.verified = 0

    @override
    def hash(self, password: str) -> str:
        self.hashed += 1
        return self._hasher.hash(password)

    @override
    def verify(self, hash: str, password: str) -> bool:
        self.verified += 1
        return self._hasher.verify(hash, password)

    @override
    def check_needs_rehash(self, hash: str) -> bool:
        return self._hasher.check_needs_rehash(hash)


class InMemoryUsersRepository(UsersRepository):
    """Accounts by canonical email and failures by key, in two dictionaries."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._failures: dict[str, SignInFailures] = {}

    @override
    def find(self, user_id: str) -> User:
        for account in self._accounts.values():
            if account.user.user_id == user_id.lower():
                return account.user
        raise UserNotFoundError

    @override
    def find_by_email(self, email_key: str) -> Account | None:
        return self._accounts.get(email_key)

    @override
    def add(self, account: Account) -> None:
        email_key = canonical_email(account.user.email)
        if email_key in self._accounts:
            raise EmailExistsError
        self._accounts[email_key] = account

    @override
    def update(self, user: User) -> None:
        email_key = canonical_email(user.email)
        known = self._accounts[email_key]
        updated = replace(user, version=known.user.version + 1)
        self._accounts[email_key] = replace(known, user=updated)

    @override
    def replace_hash(self, account: Account, new_hash: str) -> bool:
        email_key = canonical_email(account.user.email)
        known = self._accounts[email_key]
        if known.password_hash != account.password_hash:
            return False
        self._accounts[email_key] = replace(known, password_hash=new_hash)
        return True

    @override
    def upsert_admin(self, account: Account) -> None:
        email_key = canonical_email(account.user.email)
        known = self._accounts.get(email_key, account)
        admin = replace(known.user, role=Role.ADMIN)
        self._accounts[email_key] = Account(admin, account.password_hash)

    @override
    def failures(self, keys: Sequence[str]) -> Failures:
        return {key: self._failures[key] for key in keys if key in self._failures}

    @override
    def change_failures(self, keys: Sequence[str], change: ChangeFailures) -> None:
        changed = change(self.failures(keys))
        for key in keys:
            self._failures.pop(key, None)
        self._failures |= changed

    @override
    def delete_failures(self, *, before: datetime) -> None:
        kept = {key: known for key, known in self._failures.items() if known.since >= before}
        self._failures = kept

    @override
    def ping(self) -> None:
        pass


class InMemoryKeyRepository(KeyRepository):
    """Keys in a list; counts how often they are read."""

    def __init__(self) -> None:
        self._keys: Sequence[SigningKey] = []
        self.reads = 0

    @override
    def keys(self) -> Sequence[SigningKey]:
        self.reads += 1
        return self._keys

    @override
    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        self._keys = change(self._keys)
        return self._keys

    @override
    def device_key(self) -> bytes:
        return b"the key of known devices"
