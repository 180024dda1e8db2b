"""Keeps the house: makes the next signing key when it is time, forgets what is over."""

from services.common.clock import Clock, utc_now
from services.users.domain import FAILURE_WINDOW
from services.users.keys import KeyRotation
from services.users.repository import UsersRepository


class RetentionJob:
    """Does what is due. Several may do so at once: each thing is done once."""

    def __init__(
        self, *, repository: UsersRepository, rotation: KeyRotation, clock: Clock = utc_now
    ) -> None:
        self._repository = repository
        self._rotation = rotation
        self._clock = clock

    def run(self) -> None:
        """Rotate keys if due, and forget failures whose window is over."""
        self._rotation.rotate_if_due()
        self._repository.forget_failures(before=self._clock() - FAILURE_WINDOW)
