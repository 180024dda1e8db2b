"""The retention job: rotates signing keys and deletes expired records."""

from services.common.clock import Clock, utc_now
from services.users.keys import KeyRotation
from services.users.repository import UsersRepository
from services.users.throttling import FAILURE_WINDOW


class RetentionJob:
    """Does what is due; any number of instances may run it at the same time."""

    def __init__(
        self, *, repository: UsersRepository, rotation: KeyRotation, clock: Clock = utc_now
    ) -> None:
        self._repository = repository
        self._rotation = rotation
        self._clock = clock

    def run(self) -> None:
        """Rotate keys if due, and delete failures whose window has ended."""
        self._rotation.rotate_if_due()
        self._repository.delete_failures(before=self._clock() - FAILURE_WINDOW)
