"""Compares the records of each order, repairs what is safe, and reports the rest.

Orders are compared in batches, so memory use does not grow with the shop: those that changed,
and all of them by their ids (see job.py). The stores are not read at one moment, so a
discrepancy is checked again right before it is repaired or reported; and every repair is
idempotent. So any number of instances may reconcile at once, while sagas run.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

import structlog
from prometheus_client import Counter as MetricCounter

from services.common.clock import Clock, utc_now
from services.orders.ports import (
    Catalog,
    Payments,
    Promotions,
    ServiceUnavailableError,
    UpstreamRejectedError,
)
from services.orders.reconciliation.budget import allowed_kinds
from services.orders.reconciliation.domain import (
    GRACE_PERIOD,
    Discrepancy,
    Finding,
    Kind,
    Repair,
    Scope,
    compare,
)
from services.orders.reconciliation.records import (
    MAX_ORDERS,
    OrderRecords,
    Record,
    Source,
    merge,
)
from services.orders.reconciliation.repository import ReconciliationRepository

BATCH_SIZE = 1_000
PAGE_SIZE = 500

Action = Callable[[OrderRecords], object]

FINDINGS = MetricCounter(
    "mamie_reconciliation_findings", "Discrepancies that were found.", ("kind", "repaired")
)
for _kind in Kind:
    FINDINGS.labels(_kind, "true")
    FINDINGS.labels(_kind, "false")

log = structlog.get_logger()


class RepairActions:
    """The action of each repair: one idempotent call."""

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
            Repair.REFUND_PAYMENT: lambda records: payments.refund(records.order_id, "RECONCILED"),
            Repair.COMMIT_STOCK: lambda records: catalog.commit(records.order_id),
            Repair.RELEASE_STOCK: lambda records: catalog.release(records.order_id),
            Repair.REDEEM_PROMO: self._redeem_promo,
            Repair.RELEASE_PROMO: self._release_promo,
            Repair.RESTORE_INDEX: repository.restore_index,
            Repair.RESTORE_SAGA: repository.restore_saga,
            Repair.REST_SAGA: repository.complete_saga,
        }

    def execute(self, repair: Repair, records: OrderRecords) -> str:
        """Execute a repair; return the reason of its failure, empty after a success."""
        try:
            self._actions[repair](records)
        except (UpstreamRejectedError, ServiceUnavailableError) as error:
            return error.reason
        return ""

    def _redeem_promo(self, records: OrderRecords) -> None:
        assert records.order is not None
        placed = records.order.placed
        self._promotions.redeem(records.order_id, placed.promo_code, placed.user_id)

    def _release_promo(self, records: OrderRecords) -> None:
        assert records.redemption is not None
        self._promotions.release(records.order_id, records.redemption.code)


def _sorted(records: Iterable[Record]) -> Iterator[Record]:
    return iter(sorted(records, key=attrgetter("order_id")))


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings of a batch; the next batch begins with `next_order_id`, empty after the last."""

    findings: Sequence[Finding]
    checked_count: int
    next_order_id: str


class Reconciler:
    """Compares, repairs and reports; `counts` are the findings by kind and whether repaired."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        repairs: RepairActions,
        repository: ReconciliationRepository,
        clock: Clock = utc_now,
    ) -> None:
        self._sources = sources
        self._repairs = repairs
        self._repository = repository
        self._clock = clock
        self.counts: Counter[tuple[Kind, bool]] = Counter()

    def reconcile(self, first: str = "", limit: int = BATCH_SIZE) -> Report:
        """Reconcile a batch of `limit` orders from `first` on; "" is before all.

        ServiceUnavailableError or StoreUnavailableError when a source is unavailable; repairs
        done until then remain.
        """
        suspects, checked_count, next_order_id = self._compare_batch(first, limit)
        scope = Scope(first=first, next_order_id=next_order_id)
        return self._conclude(suspects, scope, checked_count, with_outbox=not first)

    def reconcile_orders(self, order_ids: Sequence[str]) -> Report:
        """Reconcile some orders, and look for events that were not published.

        Raises as `reconcile`.
        """
        now = self._clock()
        suspects: dict[str, Sequence[Discrepancy]] = {}
        for start in range(0, len(order_ids), MAX_ORDERS):
            batch = order_ids[start : start + MAX_ORDERS]
            for records in merge(_sorted(source.read_of(batch)) for source in self._sources):
                if discrepancies := compare(records, now):
                    suspects[records.order_id] = discrepancies
        scope = Scope(order_ids=["", *order_ids])
        return self._conclude(suspects, scope, len(order_ids), with_outbox=True)

    def _conclude(
        self,
        suspects: Mapping[str, Sequence[Discrepancy]],
        scope: Scope,
        checked_count: int,
        *,
        with_outbox: bool,
    ) -> Report:
        """Check suspects again, repair, report, and store what remains open."""
        found = Counter(each.kind for discrepancies in suspects.values() for each in discrepancies)
        allowed = allowed_kinds(found, self._repository.count_repairs()) if found else frozenset()
        findings = [*self._check_outbox()] if with_outbox else []
        for order_id in suspects:
            findings.extend(self._recheck(order_id, allowed))
        self._repository.add_repairs(
            Counter(each.discrepancy.kind for each in findings if each.is_repaired)
        )
        for finding in findings:
            self._report(finding)
        open_findings = [finding for finding in findings if not finding.is_repaired]
        self._repository.save_open_findings(open_findings, scope)
        return Report(
            findings=findings, checked_count=checked_count, next_order_id=scope.next_order_id
        )

    def _compare_batch(
        self, first: str, limit: int
    ) -> tuple[dict[str, Sequence[Discrepancy]], int, str]:
        """Return (discrepancies by order, number of orders compared, first of the next batch)."""
        now, checked_count = self._clock(), 0
        suspects: dict[str, Sequence[Discrepancy]] = {}
        for records in merge(source.read_from(first, PAGE_SIZE) for source in self._sources):
            if checked_count == limit:
                return suspects, checked_count, records.order_id
            checked_count += 1
            if discrepancies := compare(records, now):
                suspects[records.order_id] = discrepancies
        return suspects, checked_count, ""

    def _recheck(self, order_id: str, allowed: Collection[Kind]) -> Sequence[Finding]:
        """Compare an order again, and repair what still is a discrepancy."""
        records = self._load(order_id)
        discrepancies = compare(records, self._clock())
        return [self._repair(each, records, allowed) for each in discrepancies]

    def _load(self, order_id: str) -> OrderRecords:
        firsts = (islice(source.read_from(order_id, 1), 1) for source in self._sources)
        loaded = next(merge(firsts), None)
        if loaded is None or loaded.order_id != order_id:
            return OrderRecords(order_id=order_id)
        return loaded

    def _repair(
        self, discrepancy: Discrepancy, records: OrderRecords, allowed: Collection[Kind]
    ) -> Finding:
        repair = discrepancy.repair
        if repair is None:
            return Finding(discrepancy=discrepancy)
        is_allowed = discrepancy.kind in allowed
        failure = self._repairs.execute(repair, records) if is_allowed else "TOO_MANY_AT_ONCE"
        return Finding(discrepancy=discrepancy, is_repaired=not failure, failure=failure)

    def _check_outbox(self) -> Sequence[Finding]:
        waiting = self._repository.count_unpublished(before=self._clock() - GRACE_PERIOD)
        facts = {"waitingEvents": str(waiting)}
        stuck = Discrepancy(kind=Kind.OUTBOX_STUCK, facts=facts)
        return [Finding(discrepancy=stuck)] if waiting else []

    def _report(self, finding: Finding) -> None:
        discrepancy = finding.discrepancy
        self.counts[discrepancy.kind, finding.is_repaired] += 1
        FINDINGS.labels(discrepancy.kind, str(finding.is_repaired).lower()).inc()
        log.warning(
            "discrepancy_found",
            kind=discrepancy.kind,
            order_id=discrepancy.order_id,
            repair=discrepancy.repair,
            repaired=finding.is_repaired,
            failure=finding.failure,
            facts=discrepancy.facts,
        )
