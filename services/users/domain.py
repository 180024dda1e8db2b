"""Who has an account, how often they may fail to sign in, and which key signs now.

What a signing key does follows from the time alone; nothing is written when it changes:

    PUBLISHED ----> SIGNING ----> RETIRED ----> over
     |               |             |
     created         signs_from    its successor's signs_from, and then as long
                                   as a token lives

Every key is public until it is over. The first key of all signs at once; later ones are
public for a while before they sign, so that whoever caches the public keys knows them.
"""

import math
import re
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

TOKEN_LIFE = timedelta(hours=1)
RETIREMENT = TOKEN_LIFE + timedelta(minutes=10)
"""How long a key stays public after its last token; longer than that token lives."""

FAILURE_LIMIT = 10
FAILURE_WINDOW = timedelta(minutes=15)
"""After FAILURE_LIMIT failures within a window nobody signs in until the window is over."""

LANGUAGE_RANGE = re.compile(
    r"(?:([a-z]{1,8})(?:-[a-z0-9]{1,8})*|\*)"
    r"(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII | re.IGNORECASE,
)
"""One element of Accept-Language (RFC 9110, 12.5.4): a language or "*", and its quality."""


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
    """The email is unknown or the password is wrong; nobody is told which."""

    reason = "INVALID_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("The email or the password is wrong.")


class TooManySignInsError(ResourceExhaustedError):
    """More passwords wait to be hashed than anybody is patient for."""

    reason = "TOO_MANY_SIGN_INS"

    def __init__(self) -> None:
        super().__init__("Too many people sign in right now; try again in a moment.")


class AccountThrottledError(ResourceExhaustedError):
    """Signing in with this email failed too often, whether or not it has an account."""

    reason = "ACCOUNT_THROTTLED"

    def __init__(self, *, wait: timedelta) -> None:
        seconds = math.ceil(wait.total_seconds())
        super().__init__(
            f"Signing in failed too often; try again in {seconds} s.",
            retryAfterSeconds=str(seconds),
        )


class Role(StrEnum):
    """What a user is to the shop; tokens carry it."""

    CUSTOMER = "customer"
    ADMIN = "admin"


class Language(StrEnum):
    """What the shop speaks and writes."""

    FRENCH = "fr"
    ENGLISH = "en"


DEFAULT_LANGUAGE = Language.ENGLISH


@dataclass(frozen=True, kw_only=True)
class User:
    """One user. `email` is as given; `animal_type` is empty when not told."""

    user_id: str
    email: str
    first_name: str
    last_name: str
    created_at: datetime
    role: Role = Role.CUSTOMER
    animal_type: str = ""
    notifications_enabled: bool = True
    language: Language = DEFAULT_LANGUAGE


@dataclass(frozen=True)
class Account:
    """A user, and the argon2id hash of their password."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True)
class Failures:
    """How often signing in with one email failed since the first time in a window."""

    count: int
    since: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the window is over, and with it what happened in it."""
        return self.since + FAILURE_WINDOW <= now


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key pair that signs tokens from `signs_from` until its successor does."""

    kid: str
    private_pem: str = field(repr=False)
    signs_from: datetime


@dataclass(frozen=True, kw_only=True)
class KeyPolicy:
    """How long a key signs, and how long it is public before."""

    life: timedelta
    lead: timedelta


def canonical_email(email: str) -> str:
    """Return what an email is compared by: equal for emails that differ in case alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def choose_language(accept_language: str, *, otherwise: Language = DEFAULT_LANGUAGE) -> Language:
    """Return the language that an Accept-Language header asks for.

    The highest quality wins, then what is named first; "fr-CA" is French, "*" any language
    that is not named. What is no language range is passed over. `otherwise` is the answer
    when the header is empty or leaves the choice to us.
    """
    wanted = _read_qualities(accept_language)
    rest = wanted.get("*", 0.0)
    named = [language for name in wanted for language in Language if language == name]
    best = max([*named, otherwise, *Language], key=lambda language: wanted.get(language, rest))
    return best if wanted.get(best, rest) else otherwise


def _read_qualities(accept_language: str) -> dict[str, float]:
    """Return the best quality of each language that is named, in order of appearance."""
    wanted: dict[str, float] = {}
    for element in accept_language.split(","):
        if match := LANGUAGE_RANGE.fullmatch(element.strip(" \t")):
            name, quality = (match[1] or "*").lower(), float(match[2] or 1)
            wanted[name] = max(quality, wanted.get(name, 0.0))
    return wanted


def revise(
    user: User,
    *,
    first_name: str,
    last_name: str,
    animal_type: str,
    notifications_enabled: bool,
    language: Language,
) -> User:
    """Return the user with a new name, preferences and language; the rest stays."""
    return replace(
        user,
        first_name=first_name,
        last_name=last_name,
        animal_type=animal_type,
        notifications_enabled=notifications_enabled,
        language=language,
    )


def check_patience(failures: Failures | None, now: datetime) -> None:
    """Raise AccountThrottledError while signing in has failed too often."""
    if failures and failures.count >= FAILURE_LIMIT and not failures.is_over(now):
        raise AccountThrottledError(wait=failures.since + FAILURE_WINDOW - now)


def fail(failures: Failures | None, now: datetime) -> Failures:
    """Count one more failure; AccountThrottledError when others were faster to use them up."""
    check_patience(failures, now)
    if failures is None or failures.is_over(now):
        return Failures(1, now)
    return replace(failures, count=failures.count + 1)


def succeed(failures: Failures | None, now: datetime) -> None:
    """Forget the failures; AccountThrottledError when there were too many meanwhile.

    So however many guesses run side by side, no more than FAILURE_LIMIT are answered.
    """
    check_patience(failures, now)


def in_order(keys: Sequence[SigningKey]) -> Sequence[SigningKey]:
    """Return keys in the order in which they sign."""
    return sorted(keys, key=lambda key: (key.signs_from, key.kid))


def signing_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """Return the one of some keys that signs now.

    Where the clock is behind that of whoever made the first key, that one signs too.
    """
    begun = [key for key in in_order(keys) if key.signs_from <= now]
    return begun[-1] if begun else in_order(keys)[0]


def public_keys(keys: Sequence[SigningKey], now: datetime) -> Sequence[SigningKey]:
    """Return the keys that may have signed a token that lives, or soon will."""
    ordered = in_order(keys)
    retired = [key.signs_from for key in ordered[1:]]
    over = sum(since + RETIREMENT <= now for since in retired)
    return ordered[over:]


def is_key_due(keys: Sequence[SigningKey], now: datetime, policy: KeyPolicy) -> bool:
    """Return whether it is time to make the next key, or the first."""
    return not keys or now >= in_order(keys)[-1].signs_from + policy.life - policy.lead


def next_signs_from(keys: Sequence[SigningKey], now: datetime, policy: KeyPolicy) -> datetime:
    """Return when a key that is made now signs: at once only when it is the first."""
    return now + policy.lead if keys else now
