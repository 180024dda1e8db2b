"""The store of accounts and failed sign-ins: PostgreSQL.

The unique index on `email_key` ensures one account per email, whatever its case. Events are
written to the outbox in the transaction that causes them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from mamie_rosa.events.v1 import events_pb2
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.languages import Language
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox
from services.users.domain import (
    Account,
    EmailExistsError,
    Role,
    User,
    UserNotFoundError,
    canonical_email,
)
from services.users.integration_events import UserEventType, to_integration_event
from services.users.schema import outbox, preferences, sign_in_failures, users
from services.users.throttling import ChangeFailures, Failures, SignInFailures

_accounts = sa.select(
    users, preferences.c.animal_type, preferences.c.notifications_enabled
).join_from(users, preferences)
_USER_ID = sa.bindparam("id", type_=users.c.user_id.type)
FIND = _accounts.where(users.c.user_id == _USER_ID)
FIND_BY_EMAIL = _accounts.where(users.c.email_key == sa.bindparam("key"))
ADD = postgresql.insert(users).on_conflict_do_nothing(index_elements=["email_key"])
ADD_PREFERENCES = sa.insert(preferences)
UPDATE = (
    sa.update(users)
    .where(users.c.user_id == _USER_ID)
    .values(
        {name: sa.bindparam(name) for name in ("first_name", "last_name", "language")}
        | {"version": users.c.version + 1}
    )
    .returning(users.c.version)
)
UPDATE_PREFERENCES = (
    sa.update(preferences)
    .where(preferences.c.user_id == _USER_ID)
    .values({name: sa.bindparam(name) for name in ("animal_type", "notifications_enabled")})
)
REPLACE_HASH = (
    sa.update(users)
    .where(users.c.user_id == _USER_ID, users.c.password_hash == sa.bindparam("old_hash"))
    .values(password_hash=sa.bindparam("new_hash"))
)
MAKE_ADMIN = (
    sa.update(users)
    .where(users.c.email_key == sa.bindparam("key"))
    .values(password_hash=sa.bindparam("new_hash"), role=Role.ADMIN)
)
_digests = sa.bindparam("digests", type_=postgresql.ARRAY(sa.Text))
_is_listed = sign_in_failures.c.email_digest == sa.any_(_digests)
LOAD_FAILURES = sa.select(sign_in_failures).where(_is_listed)
REMOVE_FAILURES = sa.delete(sign_in_failures).where(_is_listed)
_failures = postgresql.insert(sign_in_failures)
SAVE_FAILURES = _failures.on_conflict_do_update(
    index_elements=["email_digest"], set_=dict(_failures.excluded)
)
DELETE_OLD_FAILURES = sa.delete(sign_in_failures).where(
    sign_in_failures.c.since < sa.bindparam("before")
)


class UsersRepository(Protocol):
    """Stores accounts and failed sign-ins. An `email_key` is a canonical email."""

    def find(self, user_id: str) -> User:
        """Return a user; UserNotFoundError without one."""

    def find_by_email(self, email_key: str) -> Account | None:
        """Return the account of an email, if it has one."""

    def add(self, account: Account) -> None:
        """Add an account; EmailExistsError when its email has one."""

    def update(self, user: User) -> None:
        """Replace a user's name, preferences and language, and raise the version."""

    def replace_hash(self, account: Account, new_hash: str) -> bool:
        """Replace an account's hash; False when it changed since the account was read."""

    def upsert_admin(self, account: Account) -> None:
        """Add an administrator, or give the account of that email the role and this hash.

        A new one is published as UserUpdated, so that it gets no welcome mail.
        """

    def failures(self, keys: Sequence[str]) -> Failures:
        """Return the failures that are recorded under these keys."""

    def change_failures(self, keys: Sequence[str], change: ChangeFailures) -> None:
        """Apply a change to the failures of these keys; changes of a key are serialized."""

    def delete_failures(self, *, before: datetime) -> None:
        """Delete the failures of windows that began before a time."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresUsersRepository(UsersRepository):
    """Accounts and failed sign-ins in PostgreSQL."""

    def __init__(
        self, engine: sa.Engine, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id

    @override
    def find(self, user_id: str) -> User:
        account = self._find(FIND, {"id": user_id}) if postgres.is_uuid(user_id) else None
        if account is None:
            raise UserNotFoundError
        return account.user

    @override
    def find_by_email(self, email_key: str) -> Account | None:
        return self._find(FIND_BY_EMAIL, {"key": email_key})

    @override
    def add(self, account: Account) -> None:
        with postgres.transaction(self._engine) as connection:
            if not _insert(connection, account):
                raise EmailExistsError
            self._add_to_outbox(connection, account.user, events_pb2.UserCreated)

    @override
    def update(self, user: User) -> None:
        with postgres.transaction(self._engine) as connection:
            updated = replace(user, version=_update_profile(connection, user))
            self._add_to_outbox(connection, updated, events_pb2.UserUpdated)

    @override
    def replace_hash(self, account: Account, new_hash: str) -> bool:
        values = {
            "id": account.user.user_id,
            "old_hash": account.password_hash,
            "new_hash": new_hash,
        }
        with postgres.autocommit(self._engine) as connection:
            return connection.execute(REPLACE_HASH, values).rowcount == 1

    @override
    def upsert_admin(self, account: Account) -> None:
        with postgres.transaction(self._engine) as connection:
            if _insert(connection, account):
                self._add_to_outbox(connection, account.user, events_pb2.UserUpdated)
            else:
                _make_admin(connection, account)

    @override
    def failures(self, keys: Sequence[str]) -> Failures:
        digests = {_digest(key): key for key in keys}
        rows = postgres.read(self._engine, LOAD_FAILURES, {"digests": list(digests)})
        return _to_failures(rows, digests)

    @override
    def change_failures(self, keys: Sequence[str], change: ChangeFailures) -> None:
        with postgres.transaction(self._engine) as connection:
            digests = {_digest(key): key for key in keys}
            for digest in sorted(digests):  # one order: no deadlock
                postgres.lock(connection, digest)
            rows = connection.execute(LOAD_FAILURES, {"digests": list(digests)}).all()
            existing = _to_failures(rows, digests)
            changed = change(existing)
            if changed != existing:
                _save_failures(connection, existing, changed)

    @override
    def delete_failures(self, *, before: datetime) -> None:
        with postgres.autocommit(self._engine) as connection:
            connection.execute(DELETE_OLD_FAILURES, {"before": before})

    @override
    def ping(self) -> None:
        postgres.ping(self._engine)

    def _find(self, query: sa.Select[Any], values: Mapping[str, str]) -> Account | None:
        rows = postgres.read(self._engine, query, values)
        return _to_account(rows[0]) if rows else None

    def _add_to_outbox(
        self, connection: sa.Connection, user: User, event_type: UserEventType
    ) -> None:
        event = to_integration_event(user, event_type, now=self._clock(), new_id=self._new_id)
        add_to_outbox(connection, outbox, event)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _insert(connection: sa.Connection, account: Account) -> bool:
    """Add an account; False, and nothing is changed, when its email has one."""
    if connection.execute(ADD, _user_values(account)).rowcount == 0:
        return False
    connection.execute(ADD_PREFERENCES, _preference_values(account.user))
    return True


def _update_profile(connection: sa.Connection, user: User) -> int:
    """Replace a profile and return its new version, which the lock of the row makes unique."""
    profile = {name: getattr(user, name) for name in ("first_name", "last_name", "language")}
    version: int = connection.execute(UPDATE, profile | {"id": user.user_id}).scalar_one()
    new = {name: getattr(user, name) for name in ("animal_type", "notifications_enabled")}
    connection.execute(UPDATE_PREFERENCES, new | {"id": user.user_id})
    return version


def _make_admin(connection: sa.Connection, account: Account) -> None:
    values = {
        "key": canonical_email(account.user.email),
        "new_hash": account.password_hash,
    }
    connection.execute(MAKE_ADMIN, values)


def _user_values(account: Account) -> dict[str, Any]:
    user = account.user
    return {
        "user_id": user.user_id,
        "email": user.email,
        "email_key": canonical_email(user.email),
        "password_hash": account.password_hash,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "role": user.role,
        "created_at": user.created_at,
        "language": user.language,
        "version": user.version,
    }


def _preference_values(user: User) -> dict[str, Any]:
    return {column.name: getattr(user, column.name) for column in preferences.c}


def _to_account(row: sa.Row) -> Account:
    values = dict(row._mapping)
    del values["email_key"]
    password_hash = values.pop("password_hash")
    values |= {"role": Role(row.role), "language": Language(row.language)}
    return Account(User(**values), password_hash)


def _to_failures(rows: Sequence[sa.Row[Any]], digests: Mapping[str, str]) -> Failures:
    """Build the failures of keys from rows; `digests` maps digests to keys."""
    return {
        digests[digest]: SignInFailures(count, since) for digest, count, since in map(tuple, rows)
    }


def _save_failures(connection: sa.Connection, existing: Failures, changed: Failures) -> None:
    if removed := [_digest(key) for key in existing if key not in changed]:
        connection.execute(REMOVE_FAILURES, {"digests": removed})
    values = [
        {"email_digest": _digest(key), "count": known.count, "since": known.since}
        for key, known in changed.items()
        if known != existing.get(key)
    ]
    if values:
        connection.execute(SAVE_FAILURES, values)
