"""Accounts, and the rotation of signing keys.

The state of a signing key follows from the time alone; nothing is written when it changes:

    PUBLISHED ----> SIGNING ----> RETIRED ----> expired
     |               |             |
     created         signs_from    its successor's signs_from, plus
                                   RETIRED_KEY_RETENTION

Every key is public until it expires. The first key of all signs at once; later ones are
published for a while before they sign, so that caches of the public keys hold them by then.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.common.errors import (
    AlreadyExistsError,
    NotFoundError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from services.common.languages import DEFAULT_LANGUAGE, Language

TOKEN_LIFETIME = timedelta(hours=1)
RETIRED_KEY_RETENTION = TOKEN_LIFETIME + timedelta(minutes=10)
"""How long a key stays public after it signed its last token; longer than that token lives."""


class UserNotFoundError(NotFoundError):
    """There is no such user."""

    reason = "USER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such user.")


class EmailExistsError(AlreadyExistsError):
    """The email has an account."""

    reason = "EMAIL_EXISTS"

    def __init__(self) -> None:
        super().__init__("This email has an account already; sign in instead.")


class InvalidCredentialsError(UnauthenticatedError):
    """The email is unknown or the password is wrong; the answer does not say which."""

    reason = "INVALID_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("The email or the password is wrong.")


class TooManySignInsError(ResourceExhaustedError):
    """The queue of passwords to hash is full, or the wait in it timed out."""

    reason = "TOO_MANY_SIGN_INS"

    def __init__(self) -> None:
        super().__init__("Too many people sign in right now; try again in a moment.")


class AccountThrottledError(ResourceExhaustedError):
    """Signing in with this email failed too often; this says nothing about its account."""

    reason = "ACCOUNT_THROTTLED"

    def __init__(self, *, retry_after: timedelta) -> None:
        seconds = math.ceil(retry_after.total_seconds())
        super().__init__(
            f"Signing in failed too often; try again in {seconds} s.",
            retryAfterSeconds=str(seconds),
        )


class Role(StrEnum):
    """The role of a user; tokens carry it."""

    CUSTOMER = "customer"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class User:
    """The profile of a user. `email` is as given, an internationalised domain in ASCII.

    `animal_type` is empty when not given. `version` is 1 at first; the store raises it with each
    change.
    """

    user_id: str
    email: str
    first_name: str
    last_name: str
    created_at: datetime
    role: Role = Role.CUSTOMER
    animal_type: str = ""
    notifications_enabled: bool = True
    language: Language = DEFAULT_LANGUAGE
    version: int = 1


@dataclass(frozen=True)
class Account:
    """A user, and the argon2id hash of their password."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key pair that signs tokens from `signs_from` until its successor does."""

    kid: str
    private_pem: str = field(repr=False)
    signs_from: datetime


@dataclass(frozen=True, kw_only=True)
class KeyPolicy:
    """How long a key signs, and how long before that it is published."""

    lifetime: timedelta
    lead_time: timedelta


def canonical_email(email: str) -> str:
    """Normalize an email for comparison: emails that differ in case alone become equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def update_profile(
    user: User,
    *,
    first_name: str,
    last_name: str,
    animal_type: str,
    notifications_enabled: bool,
    language: Language,
) -> User:
    """Return the user with a new name, preferences and language."""
    return replace(
        user,
        first_name=first_name,
        last_name=last_name,
        animal_type=animal_type,
        notifications_enabled=notifications_enabled,
        language=language,
    )


def in_signing_order(keys: Sequence[SigningKey]) -> Sequence[SigningKey]:
    """Sort keys by the time from which they sign."""
    return sorted(keys, key=lambda key: (key.signs_from, key.kid))


def signing_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """Select the key that signs now.

    The first key signs even before its time: another instance, whose clock is ahead, made it.
    """
    active = [key for key in in_signing_order(keys) if key.signs_from <= now]
    return active[-1] if active else in_signing_order(keys)[0]


def public_keys(keys: Sequence[SigningKey], now: datetime) -> Sequence[SigningKey]:
    """Select the keys that have not expired: valid tokens, now or soon, are signed with them."""
    ordered = in_signing_order(keys)
    retired_at = [successor.signs_from for successor in ordered[1:]]
    expired_count = sum(moment + RETIRED_KEY_RETENTION <= now for moment in retired_at)
    return ordered[expired_count:]


def is_rotation_due(keys: Sequence[SigningKey], now: datetime, policy: KeyPolicy) -> bool:
    """Return whether it is time to create the next key, or the first."""
    if not keys:
        return True
    newest = in_signing_order(keys)[-1]
    return now >= newest.signs_from + policy.lifetime - policy.lead_time


def next_signing_time(keys: Sequence[SigningKey], now: datetime, policy: KeyPolicy) -> datetime:
    """Return `signs_from` of a key that is created now: at once for the first one alone."""
    return now + policy.lead_time if keys else now
