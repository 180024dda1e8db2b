"""Signing in: the same work and the same answer, whether or not the email has an account."""

from services.common.clock import Clock, utc_now
from services.users import domain
from services.users.domain import Account, InvalidCredentialsError, User
from services.users.passwords import Passwords
from services.users.repository import UsersRepository


class SignIn:
    """Checks credentials, and throttles an email that fails too often."""

    def __init__(
        self, *, repository: UsersRepository, passwords: Passwords, clock: Clock = utc_now
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._clock = clock

    def sign_in(self, email: str, password: str) -> User:
        """Return the user of valid credentials; InvalidCredentialsError, AccountThrottledError."""
        key = domain.canonical_email(email)
        domain.check_throttling(self._repository.failures(key), self._clock())
        account = self._repository.find_by_email(key)
        check = self._passwords.check(password, account.password_hash if account else None)
        now = self._clock()
        if account is None or not check.matches:
            self._repository.change_failures(key, lambda known: domain.record_failure(known, now))
            raise InvalidCredentialsError
        self._repository.change_failures(key, lambda known: domain.clear_failures(known, now))
        self._rehash(account, check.new_hash)
        return account.user

    def _rehash(self, account: Account, new_hash: str | None) -> None:
        """Replace a hash with outdated parameters, unless the password changed meanwhile."""
        if new_hash is not None:
            self._repository.replace_hash(account, new_hash)
