"""The settings of users, read from the environment."""

import sys
from dataclasses import dataclass
from datetime import timedelta

from environs import Env, validate

from services.common.config import ServiceConfig, read_email, reading_environment
from services.users.domain import KeyPolicy

PASSWORD_LENGTHS = range(10, 129)
"""The lengths of a password that RegisterUser and LoginUser accept, in characters."""


@dataclass(frozen=True, kw_only=True)
class UsersConfig:
    """Settings of one users process.

    `hash_queue` calls wait while `hash_concurrency` calls hash a password. Their sum must be
    well below the server's thread count, so that threads remain for profiles and public keys.
    """

    service: ServiceConfig
    store_url: str
    hash_concurrency: int
    hash_queue: int
    hash_wait_seconds: float
    keys: KeyPolicy
    retention_interval_seconds: float
    admin_email: str
    admin_password: str


def read_config() -> UsersConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return UsersConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            hash_concurrency=env.int("HASH_CONCURRENCY", 2, validate=validate.Range(1, 64)),
            hash_queue=env.int("HASH_QUEUE", 6, validate=validate.Range(0, 256)),
            hash_wait_seconds=env.float("HASH_WAIT_SECONDS", 1.0, validate=validate.Range(0, 10)),
            keys=_read_key_policy(env),
            retention_interval_seconds=env.float(
                "RETENTION_INTERVAL_SECONDS", 10.0, validate=validate.Range(0.1, 3600)
            ),
            admin_email=read_email(env, "ADMIN_EMAIL", "admin@mamie-rosa.example"),
            admin_password=env.str("ADMIN_PASSWORD", ""),
        )


def _read_key_policy(env: Env) -> KeyPolicy:
    """Read how keys rotate.

    The lead time must exceed how long public keys are cached: 5 s here, then 5 min at the edge.
    """
    lifetime = env.float("KEY_LIFE_SECONDS", 30 * 86_400.0, validate=validate.Range(3600))
    lead_time = env.float("KEY_LEAD_SECONDS", 600.0, validate=validate.Range(330, 1800))
    return KeyPolicy(lifetime=timedelta(seconds=lifetime), lead_time=timedelta(seconds=lead_time))


def require_admin_password(config: UsersConfig) -> str:
    """Return the administrator's password; a missing or bad one ends the process."""
    if len(config.admin_password) in PASSWORD_LENGTHS:
        return config.admin_password
    wanted = f"{PASSWORD_LENGTHS.start} to {PASSWORD_LENGTHS.stop - 1} characters"
    text = f"configuration: MAMIE_ADMIN_PASSWORD must be set, with {wanted}"
    print(text, file=sys.stderr)  # noqa: T201
    raise SystemExit(2)
