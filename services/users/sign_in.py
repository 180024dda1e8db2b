"""Signing in: the same work and the same answer, whether or not the email has an account."""

from services.common.clock import Clock, utc_now
from services.users import domain
from services.users.domain import Account, InvalidCredentialsError, User
from services.users.passwords import Passwords
from services.users.repository import UsersRepository


class SignIn:
    """Checks credentials, and loses patience with an email that fails too often."""

    def __init__(
        self, *, repository: UsersRepository, passwords: Passwords, clock: Clock = utc_now
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._clock = clock

    def sign_in(self, email: str, password: str) -> User:
        """Return who signed in; InvalidCredentialsError, AccountThrottledError if nobody did."""
        key = domain.canonical_email(email)
        domain.check_patience(self._repository.failures(key), self._clock())
        account = self._repository.find_by_email(key)
        verdict = self._passwords.check(password, account.password_hash if account else None)
        now = self._clock()
        if account is None or not verdict.is_right:
            self._repository.change_failures(key, lambda known: domain.fail(known, now))
            raise InvalidCredentialsError
        self._repository.change_failures(key, lambda known: domain.succeed(known, now))
        self._upgrade(account, verdict.new_hash)
        return account.user

    def _upgrade(self, account: Account, new_hash: str | None) -> None:
        """Keep a hash with today's parameters, unless the password was changed meanwhile."""
        if new_hash is not None:
            self._repository.replace_hash(account, new_hash)
