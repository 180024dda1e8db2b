"""Signing in: the same work and the same answer, whether or not the email has an account."""

from dataclasses import dataclass, field

from services.common.clock import Clock, utc_now
from services.users import domain, throttling
from services.users.devices import KnownDevices
from services.users.domain import Account, InvalidCredentialsError, User
from services.users.passwords import Passwords
from services.users.repository import UsersRepository


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a caller signs in with, and where; address and device token may be empty."""

    email: str
    password: str = field(repr=False)
    caller_address: str = ""
    device_token: str = field(default="", repr=False)


class SignIn:
    """Checks credentials, and throttles those who fail too often."""

    def __init__(
        self,
        *,
        repository: UsersRepository,
        passwords: Passwords,
        devices: KnownDevices,
        clock: Clock = utc_now,
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._devices = devices
        self._clock = clock

    def sign_in(self, credentials: Credentials) -> User:
        """Return the user of valid credentials; InvalidCredentialsError, AccountThrottledError."""
        email_key = domain.canonical_email(credentials.email)
        throttles = throttling.throttles_of(
            email_key,
            network=throttling.caller_network(credentials.caller_address),
            device_id=self._devices.identify(credentials.device_token, email_key),
        )
        keys = [throttle.key for throttle in throttles]
        throttling.check(throttles, self._repository.failures(keys), self._clock())
        account = self._repository.find_by_email(email_key)
        known_hash = account.password_hash if account else None
        check = self._passwords.check(credentials.password, known_hash)
        now = self._clock()
        if account is None or not check.matches:
            self._repository.change_failures(
                keys, lambda known: throttling.record(throttles, known, now)
            )
            raise InvalidCredentialsError
        self._repository.change_failures(
            keys, lambda known: throttling.clear(throttles, known, now)
        )
        self._rehash(account, check.new_hash)
        return account.user

    def change_password(self, credentials: Credentials, new_password: str) -> None:
        """Replace the password of valid credentials; the errors of `sign_in`.

        Of two changes at once the second has the wrong current password.
        """
        user = self.sign_in(credentials)
        account = self._repository.find_by_email(domain.canonical_email(user.email))
        new_hash = self._passwords.hash(new_password)
        if account is None or not self._repository.replace_hash(account, new_hash):
            raise InvalidCredentialsError

    def _rehash(self, account: Account, new_hash: str | None) -> None:
        """Replace a hash with outdated parameters, unless the password changed meanwhile."""
        if new_hash is not None:
            self._repository.replace_hash(account, new_hash)
