"""The store of keys: PostgreSQL, so that all instances use the same ones.

Private keys are stored unencrypted. Read access to the table is enough to sign tokens, and
only this service (and the operator, through backups) has it: no other service has an account
on the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import sqlalchemy as sa
from typing_extensions import override

from services.common.storage import postgres
from services.users.domain import SigningKey

KEYS_LOCK = "signing-keys"
"""The advisory lock under which keys change."""

signing_keys = sa.Table(
    "signing_keys",
    sa.MetaData(),
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("private_pem", sa.Text, nullable=False),
    sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
)

device_keys = sa.Table(
    "device_keys", sa.MetaData(), sa.Column("key", sa.LargeBinary, nullable=False)
)
"""One key, which the migration creates."""

ChangeKeys = Callable[[Sequence[SigningKey]], Sequence[SigningKey]]
"""Maps the current keys to the new ones."""


class KeyRepository(Protocol):
    """Stores signing keys, and the key of known devices."""

    def keys(self) -> Sequence[SigningKey]:
        """Return all keys."""

    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        """Apply a change to the keys and return the new ones; changes are serialized."""

    def device_key(self) -> bytes:
        """Return the key that authenticates the tokens of known devices."""


class PostgresKeyRepository(KeyRepository):
    """Keys in PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @override
    def keys(self) -> Sequence[SigningKey]:
        with postgres.transaction(self._engine) as connection:
            return _load(connection)

    @override
    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, KEYS_LOCK)
            existing = _load(connection)
            changed = change(existing)
            _save(connection, existing, changed)
            return changed

    @override
    def device_key(self) -> bytes:
        with postgres.transaction(self._engine) as connection:
            return bytes(connection.execute(sa.select(device_keys)).scalar_one())


def _load(connection: sa.Connection) -> Sequence[SigningKey]:
    return [SigningKey(**row._mapping) for row in connection.execute(sa.select(signing_keys))]


def _save(
    connection: sa.Connection, existing: Sequence[SigningKey], changed: Sequence[SigningKey]
) -> None:
    removed = [key.kid for key in existing if key not in changed]
    connection.execute(sa.delete(signing_keys).where(signing_keys.c.kid.in_(removed)))
    if added := [asdict(key) for key in changed if key not in existing]:
        connection.execute(sa.insert(signing_keys), added)
