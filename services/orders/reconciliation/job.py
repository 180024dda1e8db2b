"""The periodic reconciliation: what changed soon and often, everything within a round.

A run has three parts, each with a bound of its own, so that none keeps another from its work:

    fresh    the orders that changed since the last run and rest since a minute
    recent   the orders that changed within a day, again and again: what went wrong afterwards
    round    all orders by their ids, with all records that belong to none; old orders, which
             are most of a shop, are compared in this part alone, once a round

A run of a small shop is a whole round. In a large one a round takes `round_seconds`, so what a
run reads depends on neither the age nor the size of the shop, but for its share of a round.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import CallContext, use
from services.common.errors import UnavailableError
from services.orders.reconciliation.domain import GRACE_PERIOD
from services.orders.reconciliation.progress import Progress, ProgressRepository
from services.orders.reconciliation.reconciler import BATCH_SIZE, Reconciler

INTERVAL_SECONDS = 60.0
LOCK_DURATION = timedelta(seconds=55)
"""How long other instances are kept from reconciling; a little less than the interval."""
PART_SECONDS = 8.0
"""After this time a part begins no further batch: a run takes less than half of the time."""
CHANGES_PER_BATCH = 4_000
"""Some 500 orders: an order is some eight changes."""
FRESH_BATCHES, RECENT_BATCHES, ROUND_BATCHES = 10, 3, 10
RECENT_PERIOD = timedelta(days=1)

Step = Callable[[Progress], tuple[Progress, bool]]
"""Compares a batch; returns the progress and whether there is more to do in this run."""

log = structlog.get_logger()


class ReconciliationJob:
    """Reconciles some batches a run, on one instance at a time."""

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        progress: ProgressRepository,
        round_seconds: int,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._reconciler = reconciler
        self._progress = progress
        self._round_seconds = round_seconds
        self._clock = clock
        self._new_id = new_id
        self.status = ""
        """The progress, for people; empty when another instance reconciles."""

    def run(self) -> None:
        """Reconcile the next batches, unless another instance does."""
        with use(CallContext(request_id=self._new_id())):
            try:
                self._run()
            except UnavailableError as error:
                log.warning("reconciliation_interrupted", reason=error.reason, **error.metadata)

    def _run(self) -> None:
        self.status = ""
        progress = self._progress.acquire_lock(LOCK_DURATION)
        if progress is None:
            return
        order_count = self._progress.count_orders()
        parts: list[tuple[Step, int]] = [
            (self._compare_fresh, FRESH_BATCHES),
            (self._compare_recent, RECENT_BATCHES),
            (self._continue_round, self._batches_of_round(order_count)),
        ]
        for step, batches in parts:
            saved = self._run_part(step, batches, progress)
            if saved is None:
                log.warning("reconciliation_lock_lost")
                return
            progress = saved
        self._report(progress, order_count)

    def _run_part(self, step: Step, batches: int, progress: Progress) -> Progress | None:
        """Run a part; return the progress, None when another instance has the lock meanwhile."""
        ends = time.monotonic() + PART_SECONDS
        for _ in range(batches):
            progress, has_more = step(progress)
            if not self._progress.save_progress(progress, LOCK_DURATION):
                return None
            if not has_more or time.monotonic() > ends:
                break
        return progress

    def _batches_of_round(self, order_count: int) -> int:
        """Return how many batches of a round a run has to compare, so that it ends in time."""
        runs = max(1.0, self._round_seconds / INTERVAL_SECONDS)
        return max(1, min(ROUND_BATCHES, math.ceil(order_count / runs / BATCH_SIZE)))

    def _compare_fresh(self, progress: Progress) -> tuple[Progress, bool]:
        position, has_more = self._compare_changes(progress.fresh)
        return replace(progress, fresh=position), has_more

    def _compare_recent(self, progress: Progress) -> tuple[Progress, bool]:
        position, has_more = self._compare_changes(progress.recent)
        return replace(progress, recent=position if has_more else ""), has_more

    def _compare_changes(self, position: str) -> tuple[str, bool]:
        """Compare the orders that changed behind a position; return the next one."""
        now = self._clock()
        changes = self._progress.list_changed(
            position, since=now - RECENT_PERIOD, until=now - GRACE_PERIOD, limit=CHANGES_PER_BATCH
        )
        self._reconciler.reconcile_orders(changes.order_ids)
        return changes.position, changes.has_more

    def _continue_round(self, progress: Progress) -> tuple[Progress, bool]:
        now = self._clock()
        if not progress.following:
            progress = replace(progress, round_began_at=now, compared=0)
        report = self._reconciler.reconcile(progress.following)
        compared = progress.compared + report.checked_count
        progress = replace(progress, following=report.next_order_id, compared=compared)
        if progress.following:
            return progress, True
        return self._end_round(progress, now), False

    def _end_round(self, progress: Progress, now: datetime) -> Progress:
        began_at = progress.round_began_at or now
        seconds = (now - began_at).total_seconds()
        log.info("reconciliation_round_completed", orders=progress.compared, seconds=seconds)
        if seconds > 2 * self._round_seconds:
            log.warning("reconciliation_slow", seconds=seconds, limit_seconds=self._round_seconds)
        return replace(progress, round_seconds=seconds)

    def _report(self, progress: Progress, order_count: int) -> None:
        self.status = (
            f"{progress.compared} of {order_count} orders compared in this round; "
            f"the last one took {progress.round_seconds:.0f} s"
        )
        log.info(
            "orders_reconciled",
            round_compared=progress.compared,
            orders=order_count,
            last_round_seconds=progress.round_seconds,
        )
