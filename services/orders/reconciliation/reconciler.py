"""Compares what the services know of each order, repairs what is safe and reports the rest.

Orders are compared some thousand at a time, side by side in the order of their ids, so the
whole shop is never in memory. The stores are not read at one moment, so what looks wrong is
looked at again right before it is repaired or reported; and every repair is a call that may
come twice, or too late. So any number of instances may compare at once, beside any number
of sagas.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

import structlog

from services.common.clock import Clock, NewId, new_id, utc_now
from services.common.context import CallContext, use
from services.common.errors import UnavailableError
from services.orders.clients import (
    Catalog,
    Payments,
    Promotions,
    RefusedError,
    ServiceUnavailableError,
)
from services.orders.reconciliation.domain import (
    GRACE,
    Discrepancy,
    Finding,
    Kind,
    Repair,
    compare,
)
from services.orders.reconciliation.records import Records, Source, merge
from services.orders.reconciliation.repository import ReconciliationRepository

INTERVAL_SECONDS = 60.0
TURN = timedelta(seconds=55)
"""How long others are kept from comparing; a little less than the interval."""
SLICE = 1_000
SLICES_PER_TURN = 10
PAGE_SIZE = 500
MOST_REPAIRS = 100
"""More discrepancies than this in one slice are a store that was lost, or set back, and
no accidents of single orders: then nothing is repaired and a person has to look."""

Action = Callable[[Records], object]
Suspects = dict[str, Sequence[Discrepancy]]
"""What seems wrong, by order."""

log = structlog.get_logger()


class Repairs:
    """How each repair is done: one call, which may be repeated."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        promotions: Promotions,
        payments: Payments,
        repository: ReconciliationRepository,
    ) -> None:
        self._promotions = promotions
        self._actions: Mapping[Repair, Action] = {
            Repair.REFUND_PAYMENT: lambda known: payments.settle(known.order_id, "RECONCILED"),
            Repair.COMMIT_STOCK: lambda known: catalog.commit(known.order_id),
            Repair.RELEASE_STOCK: lambda known: catalog.release(known.order_id),
            Repair.REDEEM_PROMO: self._redeem_promo,
            Repair.RELEASE_PROMO: self._release_promo,
            Repair.RESTORE_INDEX: repository.restore_index,
            Repair.RESTORE_SAGA: repository.restore_saga,
            Repair.REST_SAGA: repository.rest_saga,
        }

    def do(self, repair: Repair, records: Records) -> str:
        """Do a repair; return why it cannot be done, or nothing."""
        try:
            self._actions[repair](records)
        except RefusedError as refusal:
            return refusal.reason
        except ServiceUnavailableError as error:
            return error.reason
        return ""

    def _redeem_promo(self, records: Records) -> None:
        assert records.order is not None
        placed = records.order.placed
        self._promotions.redeem(records.order_id, placed.promo_code, placed.user_id)

    def _release_promo(self, records: Records) -> None:
        assert records.redemption is not None
        self._promotions.release(records.order_id, records.redemption.code)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a comparison found among `checked` orders; the next begins with `following`."""

    findings: Sequence[Finding]
    checked: int
    following: str


class Reconciler:
    """Compares, repairs, reports. `counts` says how often each kind was repaired, and not."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        repairs: Repairs,
        repository: ReconciliationRepository,
        clock: Clock = utc_now,
    ) -> None:
        self._sources = sources
        self._repairs = repairs
        self._repository = repository
        self._clock = clock
        self.counts: Counter[tuple[Kind, bool]] = Counter()

    def reconcile(self, first: str = "", limit: int = SLICE) -> Report:
        """Compare so many orders, beginning with `first`; "" is before all.

        ServiceUnavailableError or StoreUnavailableError when somebody does not answer: what was
        repaired until then stays so.
        """
        suspects, checked, following = self._suspects(first, limit)
        is_safe = sum(map(_is_repairable, suspects.values())) <= MOST_REPAIRS
        findings = [*self._look_at_outbox()] if not first else []
        for order_id in suspects:
            findings.extend(self._look_again(order_id, is_safe=is_safe))
        for finding in findings:
            self._report(finding)
        still_open = [finding for finding in findings if not finding.is_repaired]
        self._repository.remember(still_open, first=first, following=following)
        return Report(findings=findings, checked=checked, following=following)

    def _suspects(self, first: str, limit: int) -> tuple[Suspects, int, str]:
        """Return what seems wrong, how many orders were compared, and where to go on."""
        now, suspects, checked = self._clock(), Suspects(), 0
        for records in merge(read(first, PAGE_SIZE) for read in self._sources):
            if checked == limit:
                return suspects, checked, records.order_id
            checked += 1
            if found := compare(records, now):
                suspects[records.order_id] = found
        return suspects, checked, ""

    def _look_again(self, order_id: str, *, is_safe: bool) -> Sequence[Finding]:
        """Return what is wrong with an order by now, each repaired if it can be."""
        records = self._load(order_id)
        found = compare(records, self._clock())
        return [self._repair(each, records, is_safe=is_safe) for each in found]

    def _load(self, order_id: str) -> Records:
        parts = merge(islice(read(order_id, 1), 1) for read in self._sources)
        loaded = next(parts, None)
        is_there = loaded is not None and loaded.order_id == order_id
        return loaded if loaded and is_there else Records(order_id=order_id)

    def _repair(self, found: Discrepancy, records: Records, *, is_safe: bool) -> Finding:
        if found.repair is None:
            return Finding(discrepancy=found)
        failure = self._repairs.do(found.repair, records) if is_safe else "TOO_MANY_AT_ONCE"
        return Finding(discrepancy=found, is_repaired=not failure, failure=failure)

    def _look_at_outbox(self) -> Sequence[Finding]:
        waiting = self._repository.waiting_since(self._clock() - GRACE)
        facts = {"waitingEvents": str(waiting)}
        stuck = Discrepancy(kind=Kind.OUTBOX_STUCK, facts=facts)
        return [Finding(discrepancy=stuck)] if waiting else []

    def _report(self, finding: Finding) -> None:
        found = finding.discrepancy
        self.counts[found.kind, finding.is_repaired] += 1
        log.warning(
            "discrepancy_found",
            kind=found.kind,
            order_id=found.order_id,
            repair=found.repair,
            repaired=finding.is_repaired,
            failure=finding.failure,
            facts=found.facts,
        )


def _is_repairable(found: Sequence[Discrepancy]) -> bool:
    return any(each.repair for each in found)


class ReconciliationTurns:
    """Compares in turns: of all instances one a minute, each going on where the last ended."""

    def __init__(
        self,
        *,
        reconcile: Callable[[str], Report],
        repository: ReconciliationRepository,
        slices: int = SLICES_PER_TURN,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._reconcile = reconcile
        self._repository = repository
        self._slices = slices
        self._clock = clock
        self._new_id = new_id

    def take(self) -> None:
        """Compare some thousand orders, unless another instance does."""
        with use(CallContext(request_id=self._new_id())):
            try:
                self._take()
            except UnavailableError as error:
                log.warning("reconciliation_interrupted", reason=error.reason, **error.metadata)

    def _take(self) -> None:
        now = self._clock()
        first = self._repository.take_turn(now=now, until=now + TURN)
        if first is None:
            return
        for _ in range(self._slices):
            report = self._reconcile(first)
            first = report.following
            self._repository.go_on(first, until=self._clock() + TURN)
            log.info("orders_reconciled", checked=report.checked, found=len(report.findings))
            if not first:
                return
