"""Where accounts and failed sign-ins are kept: PostgreSQL.

An email has one account, whatever its case: the index on `email_key` says so, not a look
before the write. Events leave through the outbox, in the transaction that they tell about.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from google.protobuf import message
from mamie_rosa.events.v1 import events_pb2
from sqlalchemy.dialects import postgresql

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.messaging.events import build_event
from services.common.storage import postgres
from services.common.storage.outbox import add_to_outbox, outbox_table
from services.users.domain import (
    Account,
    EmailExistsError,
    Failures,
    Language,
    Role,
    User,
    UserNotFoundError,
    canonical_email,
)

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False, unique=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("first_name", sa.Text, nullable=False),
    sa.Column("last_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, sa.CheckConstraint("role IN ('customer', 'admin')"), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column(
        "language",
        sa.Text,
        sa.CheckConstraint("language IN ('fr', 'en')"),
        nullable=False,
        server_default="en",
    ),
)

preferences = sa.Table(
    "user_preferences",
    metadata,
    sa.Column("user_id", sa.ForeignKey("users.user_id"), primary_key=True),
    sa.Column("animal_type", sa.Text, nullable=False),
    sa.Column("notifications_enabled", sa.Boolean, nullable=False),
)

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    # Not the email: most that fail are of people who are no clients.
    sa.Column("email_digest", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False, index=True),
)

outbox = outbox_table(metadata)

ChangeFailures = Callable[[Failures | None], Failures | None]
"""Given the failures that are known, returns those to remember; None forgets them."""


class UsersRepository(Protocol):
    """Keeps accounts and failed sign-ins. An `email_key` is a canonical email."""

    def find(self, user_id: str) -> User:
        """Return a user; UserNotFoundError without one."""

    def find_by_email(self, email_key: str) -> Account | None:
        """Return the account of an email, if it has one."""

    def add(self, account: Account) -> None:
        """Add an account; EmailExistsError when its email has one."""

    def update(self, user: User) -> None:
        """Replace a user's name, preferences and language."""

    def replace_hash(self, account: Account, new_hash: str) -> None:
        """Replace an account's hash, if it is still the one that the account was read with."""

    def put_admin(self, account: Account) -> None:
        """Add an administrator, or make the account of that email one, with this hash.

        Others hear of a new one, as of somebody who changed: nobody welcomes them.
        """

    def failures(self, email_key: str) -> Failures | None:
        """Return how signing in with an email failed of late."""

    def change_failures(self, email_key: str, change: ChangeFailures) -> None:
        """Apply a change to an email's failures; changes of one email happen in turn."""

    def forget_failures(self, *, before: datetime) -> None:
        """Forget the failures of windows that began before a time."""

    def ping(self) -> None:
        """Raise when the store cannot be used."""


class PostgresUsersRepository:
    """The accounts in PostgreSQL."""

    def __init__(
        self, engine: sa.Engine, *, clock: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id

    def find(self, user_id: str) -> User:
        """Return a user; UserNotFoundError without one."""
        account = self._find(users.c.user_id == user_id) if postgres.is_uuid(user_id) else None
        if account is None:
            raise UserNotFoundError
        return account.user

    def find_by_email(self, email_key: str) -> Account | None:
        """Return the account of an email, if it has one."""
        return self._find(users.c.email_key == email_key)

    def add(self, account: Account) -> None:
        """Add an account; EmailExistsError when its email has one."""
        with postgres.transaction(self._engine) as connection:
            if not _insert(connection, account):
                raise EmailExistsError
            self._tell(connection, account.user, events_pb2.UserCreated)

    def update(self, user: User) -> None:
        """Replace a user's name, preferences and language."""
        one, chosen = users.c.user_id == user.user_id, preferences.c.user_id == user.user_id
        profile = {name: getattr(user, name) for name in ("first_name", "last_name", "language")}
        with postgres.transaction(self._engine) as connection:
            connection.execute(sa.update(users).where(one).values(profile))
            values = _preference_values(user)
            connection.execute(sa.update(preferences).where(chosen).values(values))
            self._tell(connection, user, events_pb2.UserUpdated)

    def replace_hash(self, account: Account, new_hash: str) -> None:
        """Replace an account's hash, if it is still the one that the account was read with."""
        one = users.c.user_id == account.user.user_id
        unchanged = users.c.password_hash == account.password_hash
        statement = sa.update(users).where(one, unchanged).values(password_hash=new_hash)
        with postgres.transaction(self._engine) as connection:
            connection.execute(statement)

    def put_admin(self, account: Account) -> None:
        """Add an administrator, or make the account of that email one, with this hash."""
        one = users.c.email_key == canonical_email(account.user.email)
        values = {"password_hash": account.password_hash, "role": Role.ADMIN}
        with postgres.transaction(self._engine) as connection:
            if _insert(connection, account):
                # Told as a change: who made themselves an administrator needs no welcome.
                self._tell(connection, account.user, events_pb2.UserUpdated)
            else:
                connection.execute(sa.update(users).where(one).values(values))

    def failures(self, email_key: str) -> Failures | None:
        """Return how signing in with an email failed of late."""
        with postgres.transaction(self._engine) as connection:
            return _load_failures(connection, _digest(email_key))

    def change_failures(self, email_key: str, change: ChangeFailures) -> None:
        """Apply a change to an email's failures; changes of one email happen in turn."""
        digest = _digest(email_key)
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, digest)
            known = _load_failures(connection, digest)
            changed = change(known)
            if changed != known:
                _save_failures(connection, digest, changed)

    def forget_failures(self, *, before: datetime) -> None:
        """Forget the failures of windows that began before a time."""
        statement = sa.delete(sign_in_failures).where(sign_in_failures.c.since < before)
        with postgres.transaction(self._engine) as connection:
            connection.execute(statement)

    def ping(self) -> None:
        """Raise when the store cannot be used."""
        postgres.ping(self._engine)

    def _find(self, condition: sa.ColumnElement[bool]) -> Account | None:
        chosen = (preferences.c.animal_type, preferences.c.notifications_enabled)
        query = sa.select(users, *chosen).join(preferences).where(condition)
        with postgres.transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return _to_account(row) if row else None

    def _tell(
        self,
        connection: sa.Connection,
        user: User,
        kind: type[events_pb2.UserCreated] | type[events_pb2.UserUpdated],
    ) -> None:
        told: message.Message = kind(
            user_id=user.user_id,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            animal_type=user.animal_type,
            notifications_enabled=user.notifications_enabled,
            language=user.language,
        )
        event = build_event(
            told, source="users", subject=user.user_id, now=self._clock(), new_id=self._new_id
        )
        add_to_outbox(connection, outbox, event)


def _digest(email_key: str) -> str:
    return hashlib.sha256(email_key.encode()).hexdigest()


def _insert(connection: sa.Connection, account: Account) -> bool:
    """Add an account; False, and nothing is changed, when its email has one."""
    insert = postgresql.insert(users).values(_user_values(account))
    added = connection.execute(insert.on_conflict_do_nothing(index_elements=["email_key"]))
    if added.rowcount == 0:
        return False
    connection.execute(sa.insert(preferences).values(_preference_values(account.user)))
    return True


def _user_values(account: Account) -> dict[str, object]:
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
    }


def _preference_values(user: User) -> dict[str, object]:
    return {column.name: getattr(user, column.name) for column in preferences.c}


def _to_account(row: sa.Row) -> Account:
    values = dict(row._mapping)
    del values["email_key"]
    password_hash = values.pop("password_hash")
    values |= {"role": Role(row.role), "language": Language(row.language)}
    return Account(User(**values), password_hash)


def _load_failures(connection: sa.Connection, digest: str) -> Failures | None:
    query = sa.select(sign_in_failures).where(sign_in_failures.c.email_digest == digest)
    row = connection.execute(query).mappings().one_or_none()
    return Failures(row["count"], row["since"]) if row else None


def _save_failures(connection: sa.Connection, digest: str, failures: Failures | None) -> None:
    if failures is None:
        one = sign_in_failures.c.email_digest == digest
        connection.execute(sa.delete(sign_in_failures).where(one))
        return
    values = {"email_digest": digest, **asdict(failures)}
    insert = postgresql.insert(sign_in_failures).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["email_digest"], set_=values))
