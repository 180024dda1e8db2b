"""The store of keys: PostgreSQL, so that all instances use the same ones.

Private keys are stored unencrypted. Read access to the table is enough to sign tokens, and
only this service (and the operator, through backups) has it: no other service has an account
on the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
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

LOAD = sa.select(signing_keys)
LOAD_DEVICE_KEY = sa.select(device_keys)
ADD = sa.insert(signing_keys)
_kids = sa.bindparam("kids", type_=postgresql.ARRAY(sa.Text))
REMOVE = sa.delete(signing_keys).where(signing_keys.c.kid == sa.any_(_kids))

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
        return _to_keys(postgres.read(self._engine, LOAD))

    @override
    def change_keys(self, change: ChangeKeys) -> Sequence[SigningKey]:
        with postgres.transaction(self._engine) as connection:
            postgres.lock(connection, KEYS_LOCK)
            existing = _to_keys(connection.execute(LOAD).all())
            changed = change(existing)
            _save(connection, existing, changed)
            return changed

    @override
    def device_key(self) -> bytes:
        ((key,),) = postgres.read(self._engine, LOAD_DEVICE_KEY)
        return bytes(key)


def _to_keys(rows: Sequence[sa.Row]) -> Sequence[SigningKey]:
    return [SigningKey(**row._mapping) for row in rows]


def _save(
    connection: sa.Connection, existing: Sequence[SigningKey], changed: Sequence[SigningKey]
) -> None:
    if removed := [key.kid for key in existing if key not in changed]:
        connection.execute(REMOVE, {"kids": removed})
    if added := [asdict(key) for key in changed if key not in existing]:
        connection.execute(ADD, added)
