"""Where signing keys are kept: PostgreSQL, so that all instances sign with the same.

Private keys are in the table as they are. Whoever can read it can sign tokens, and that is
this service alone (and the operator, with the backups): no other service has an account on
the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import sqlalchemy as sa

from services.common.storage import postgres
from services.users.domain import SigningKey

KEYS_LOCK = "signing-keys"
"""What whoever changes the keys locks."""

signing_keys = sa.Table(
    "signing_keys",
    sa.MetaData(),
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("private_pem", sa.Text, nullable=False),
    sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
)

ChangeKeys = Callable[[Sequence[SigningKey]], Sequence[SigningKey]]
"""Given the keys that there are, returns those that there shall be."""


class KeyRepository(Protocol):
    """Keeps signing keys."""

    def keys(self) -> Sequence[SigningKey]:
        """Return all keys."""

    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        """Apply a change to the keys and return them; changes happen in turn."""


class PostgresKeyRepository:
    """The keys in PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def keys(self) -> Sequence[SigningKey]:
        """Return all keys."""
        with postgres.transaction(self._engine) as connection:
            return _load(connection)

    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        """Apply a change to the keys and return them; changes happen in turn."""
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, KEYS_LOCK)
            known = _load(connection)
            wanted = change(known)
            _save(connection, known, wanted)
            return wanted


def _load(connection: sa.Connection) -> Sequence[SigningKey]:
    return [SigningKey(**row._mapping) for row in connection.execute(sa.select(signing_keys))]


def _save(
    connection: sa.Connection, known: Sequence[SigningKey], wanted: Sequence[SigningKey]
) -> None:
    over = [key.kid for key in known if key not in wanted]
    connection.execute(sa.delete(signing_keys).where(signing_keys.c.kid.in_(over)))
    if added := [asdict(key) for key in wanted if key not in known]:
        connection.execute(sa.insert(signing_keys), added)
