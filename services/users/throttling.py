"""The throttling of failed sign-ins: whose failures count against whom.

                          counts failures by            limit
    any device            the email and its network     FAILURE_LIMIT
                          and the email alone           EMAIL_FAILURE_LIMIT
    a known device        the email and the device      FAILURE_LIMIT

So failures elsewhere never lock a person out at home: not on a device that signed in before,
and elsewhere only once many networks fail at the same time. Emails with and without an account
are counted alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from services.users.domain import AccountThrottledError

FAILURE_LIMIT = 10
EMAIL_FAILURE_LIMIT = 100
FAILURE_WINDOW = timedelta(minutes=15)
"""Sign-in is throttled until a window ends in which failures have reached their limit."""

IPV4_PREFIX = 24
IPV6_PREFIX = 48
"""What one person can easily have of addresses."""


@dataclass(frozen=True)
class SignInFailures:
    """How often signing in failed in the window that began at `since`."""

    count: int
    since: datetime

    def is_expired(self, now: datetime) -> bool:
        """Return whether the window has ended, so that its failures count no more."""
        return self.since + FAILURE_WINDOW <= now


Failures = Mapping[str, SignInFailures]
"""Failures by the key of their throttle."""
ChangeFailures = Callable[[Failures], Failures]
"""Maps the recorded failures to the new ones; those that are left out are deleted."""


@dataclass(frozen=True)
class Throttle:
    """A limit of failures under one key."""

    key: str
    limit: int
    cleared_by_success: bool = True


def caller_network(address: str) -> str:
    """Return the network of a caller's address; empty when the address is unknown."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    prefix = IPV4_PREFIX if parsed.version == 4 else IPV6_PREFIX
    return str(ip_network(f"{parsed}/{prefix}", strict=False))


def throttles_of(email_key: str, *, network: str, device_id: str) -> Sequence[Throttle]:
    """Return the throttles of one sign-in; `device_id` is empty for an unknown device.

    No email has a NUL in it, so keys of different emails are different.
    """
    if device_id:
        return [Throttle(f"{email_key}\0device\0{device_id}", FAILURE_LIMIT)]
    return [
        Throttle(f"{email_key}\0network\0{network}", FAILURE_LIMIT),
        # A sign-in elsewhere does not give many guessers a new start.
        Throttle(email_key, EMAIL_FAILURE_LIMIT, cleared_by_success=False),
    ]


def check(throttles: Sequence[Throttle], failures: Failures, now: datetime) -> None:
    """Raise AccountThrottledError while a limit is reached."""
    if ends := list(_throttled_until(throttles, failures, now)):
        raise AccountThrottledError(retry_after=max(ends) - now)


def record(throttles: Sequence[Throttle], failures: Failures, now: datetime) -> Failures:
    """Count one more failure; AccountThrottledError when concurrent ones reached a limit."""
    check(throttles, failures, now)
    return {throttle.key: _one_more(failures.get(throttle.key), now) for throttle in throttles}


def clear(throttles: Sequence[Throttle], failures: Failures, now: datetime) -> Failures:
    """Clear what a success clears; AccountThrottledError when concurrent ones reached a limit.

    So however many guesses run concurrently, no more than the limit are answered.
    """
    check(throttles, failures, now)
    kept = {throttle.key for throttle in throttles if not throttle.cleared_by_success}
    return {key: known for key, known in failures.items() if key in kept}


def _throttled_until(
    throttles: Sequence[Throttle], failures: Failures, now: datetime
) -> Iterator[datetime]:
    for throttle in throttles:
        known = failures.get(throttle.key)
        if known and known.count >= throttle.limit and not known.is_expired(now):
            yield known.since + FAILURE_WINDOW


def _one_more(known: SignInFailures | None, now: datetime) -> SignInFailures:
    if known is None or known.is_expired(now):
        return SignInFailures(1, now)
    return replace(known, count=known.count + 1)
