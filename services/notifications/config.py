"""Configuration of the notifications service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from urllib.parse import urlsplit

from environs import Env, ValidationError, validate

from services.common.config import (
    ServiceConfig,
    parsed_by,
    read_email,
    reading_environment,
)
from services.common.languages import Language
from services.notifications.domain import RetryPolicy
from services.notifications.mail import SmtpServer, parse_sender, parse_smtp_url

MAX_SMTP_STEPS = 12
"""More than the steps of one mail with its server, each of which takes at most the timeout."""


@dataclass(frozen=True, kw_only=True)
class NotificationsConfig:
    """Settings of one notifications process."""

    service: ServiceConfig
    store_url: str
    smtp: SmtpServer
    smtp_timeout_seconds: float
    sender: Address
    shop_url: str
    admin_email: str
    admin_language: Language
    retry: RetryPolicy
    poll_interval_seconds: float
    replay_since: datetime | None

    @property
    def lease(self) -> timedelta:
        """Return how long a claimed notification is hidden from other senders."""
        return timedelta(seconds=MAX_SMTP_STEPS * self.smtp_timeout_seconds)


def read_config() -> NotificationsConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return NotificationsConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            smtp=parse_smtp_url(env.str("SMTP_URL", validate=parsed_by(parse_smtp_url))),
            smtp_timeout_seconds=env.float(
                "SMTP_TIMEOUT_SECONDS", 5.0, validate=validate.Range(0.1, 60)
            ),
            sender=parse_sender(
                env.str(
                    "MAIL_FROM",
                    "Mamie Rosa <bonjour@mamie-rosa.example>",
                    validate=parsed_by(parse_sender),
                )
            ),
            shop_url=_read_shop_url(env),
            admin_email=read_email(env, "ADMIN_EMAIL", "admin@mamie-rosa.example"),
            admin_language=env.enum("ADMIN_LANGUAGE", Language.EN, enum=Language, by_value=True),
            retry=_read_retry_policy(env),
            poll_interval_seconds=env.float(
                "POLL_INTERVAL_SECONDS", 1.0, validate=validate.Range(0.05, 60)
            ),
            replay_since=env.datetime("REPLAY_SINCE", None, validate=_has_offset),
        )


def _read_shop_url(env: Env) -> str:
    """Read the address of the shop for browsers, without a "/" at its end."""
    url = env.str("SHOP_ADDRESS", "http://127.0.0.1:8080", validate=_is_web_address)
    return url.rstrip("/")


def _is_web_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValidationError("must be the address of the shop, such as https://shop.example")


def _read_retry_policy(env: Env) -> RetryPolicy:
    """Read the retry policy: by default six attempts within a quarter of an hour."""
    delays = env.list(
        "SEND_RETRY_DELAYS_SECONDS", [1, 5, 30, 120, 600], subcast=float, validate=_are_delays
    )
    max_attempts = env.int("SEND_MAX_ATTEMPTS", 6, validate=validate.Range(1, 100))
    timeout = env.float(
        "UNKNOWN_CUSTOMER_TIMEOUT_SECONDS", 600.0, validate=validate.Range(0, 86_400)
    )
    return RetryPolicy(
        max_attempts=max_attempts,
        delays=[timedelta(seconds=delay) for delay in delays],
        unknown_customer_timeout=timedelta(seconds=timeout),
    )


def _are_delays(delays: Sequence[float]) -> None:
    if not delays or not all(0 < delay <= 86_400 for delay in delays):
        raise ValidationError("must be seconds, separated by commas")


def _has_offset(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise ValidationError("must have an offset from UTC, as in 2026-01-31T00:00:00Z")
