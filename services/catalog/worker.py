"""The sweeper of overdue stock reservations."""

import structlog

from services.catalog.reservations_repository import ReservationsRepository
from services.common.clock import Clock, utc_now

BATCH_SIZE = 100
MAX_BATCHES = 100
"""How many batches a sweep expires at most, so that it ends when the service stops."""

log = structlog.get_logger()


class ReservationSweeper:
    """Puts the stock of overdue reservations back on sale.

    Every instance may sweep at the same time: a reservation expires once.
    """

    def __init__(self, *, reservations: ReservationsRepository, clock: Clock = utc_now) -> None:
        self._reservations = reservations
        self._clock = clock

    def sweep(self) -> int:
        """Expire all overdue reservations, batch by batch, and return how many there were."""
        expired = 0
        for _ in range(MAX_BATCHES):
            count = self._reservations.expire(self._clock(), BATCH_SIZE)
            expired += count
            if count < BATCH_SIZE:
                break
        if expired:
            log.info("reservations_expired", count=expired)
        return expired
