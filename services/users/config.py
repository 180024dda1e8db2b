"""What users reads from its environment."""

import sys
from dataclasses import dataclass
from datetime import timedelta

from environs import Env, validate

from services.common.config import ServiceConfig, reading_environment
from services.users.domain import KeyPolicy

PASSWORD_LENGTHS = range(10, 129)
"""What the contract takes for a password; nobody could sign in with another one."""


@dataclass(frozen=True, kw_only=True)
class UsersConfig:
    """Settings of one users process.

    `hash_queue` is how many calls wait while `hash_concurrency` others hash. The two add up
    to well under the server's threads, so that sign-ins never keep profiles and keys waiting.
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
            admin_email=env.str("ADMIN_EMAIL", "admin@mamie-rosa.example"),
            admin_password=env.str("ADMIN_PASSWORD", ""),
        )


def _read_key_policy(env: Env) -> KeyPolicy:
    """Read how keys rotate.

    The lead must be longer than public keys are cached: 5 s here, then 5 minutes at the edge.
    """
    life = env.float("KEY_LIFE_SECONDS", 30 * 86_400.0, validate=validate.Range(3600))
    lead = env.float("KEY_LEAD_SECONDS", 600.0, validate=validate.Range(330, 1800))
    return KeyPolicy(life=timedelta(seconds=life), lead=timedelta(seconds=lead))


def require_admin_password(config: UsersConfig) -> str:
    """Return the administrator's password; end the process when it is missing or cannot do."""
    if len(config.admin_password) in PASSWORD_LENGTHS:
        return config.admin_password
    wanted = f"{PASSWORD_LENGTHS.start} to {PASSWORD_LENGTHS.stop - 1} characters"
    text = f"configuration: MAMIE_ADMIN_PASSWORD must be set, with {wanted}"
    print(text, file=sys.stderr)  # noqa: T201
    raise SystemExit(2)
