"""The sweeper of overdue stock reservations."""

from functools import partial

import structlog

from services.catalog import domain
from services.catalog.reservations_repository import ReservationsRepository
from services.common.clock import Clock, utc_now

BATCH_SIZE = 100

log = structlog.get_logger()


class ReservationSweeper:
    """Puts the stock of overdue reservations back on sale.

    Every instance may sweep at the same time: a reservation expires once.
    """

    def __init__(self, *, reservations: ReservationsRepository, clock: Clock = utc_now) -> None:
        self._reservations = reservations
        self._clock = clock

    def sweep(self) -> int:
        """Expire a batch of overdue reservations and return how many there were."""
        now = self._clock()
        overdue = self._reservations.list_expired(now, BATCH_SIZE)
        for order_id in overdue:
            self._reservations.change(order_id, partial(domain.expire, now=now))
        if overdue:
            log.info("reservations_expired", count=len(overdue))
        return len(overdue)
