"""Puts stock back on sale when the order that held it took too long."""

import structlog

from services.catalog import domain
from services.catalog.repository import CatalogRepository
from services.common.clock import Clock, utc_now

BATCH = 100

log = structlog.get_logger()


class ReservationSweeper:
    """Expires holds whose time is over. Several may sweep at once: each hold expires once."""

    def __init__(self, *, repository: CatalogRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def sweep(self) -> int:
        """Expire what is due and return how many holds that were."""
        now = self._clock()
        due = self._repository.expired_orders(now, BATCH)
        for order_id in due:
            self._repository.change_reservation(
                order_id, lambda existing: domain.expire(existing, now)
            )
        if due:
            log.info("reservations_expired", count=len(due))
        return len(due)
