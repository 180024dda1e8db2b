"""Consistent records of orders, sources that read them, and a repository in memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from typing_extensions import override

from services.orders import domain, events
from services.orders.domain import Order, fold
from services.orders.events import Event, OrderPlaced, RecordedEvent
from services.orders.reconciliation.domain import Finding, Kind, Scope
from services.orders.reconciliation.progress import Changes, Progress, ProgressRepository
from services.orders.reconciliation.records import (
    IndexEntry,
    OrderRecords,
    Payment,
    PaymentState,
    Record,
    Redemption,
    RedemptionState,
    Reservation,
    ReservationState,
    SagaEntry,
    Source,
)
from services.orders.reconciliation.repository import ReconciliationRepository
from services.orders.tests.fakes import KIBBLE, NOW, build_placed

ORDER = "11111111-1111-4111-8111-111111111111"
LONG_AGO = NOW - timedelta(hours=1)
CONFIRMED: Sequence[Event] = (
    events.PromoRedeemed(),
    events.PaymentStarted(),
    events.PaymentCaptured(payment_id="p"),
    events.OrderConfirmed(),
)
FINAL_AMOUNT = build_placed().items[0].total - build_placed().discount
COMPENSATED: Sequence[Event] = (
    *CONFIRMED,
    events.OrderCancelled(reason="CUSTOMER"),
    events.PaymentSettled(refunded=FINAL_AMOUNT),
    events.PromoReleased(),
    events.StockReleased(),
)


def build_order(
    *events: Event, order_id: str = ORDER, at: datetime = LONG_AGO, **changes: Any
) -> Order:
    """Build an order from events, all of one moment."""
    placed: OrderPlaced = build_placed(**changes)
    history = [
        RecordedEvent(sequence=sequence, time=at, event=event)
        for sequence, event in enumerate([placed, *events], 1)
    ]
    return fold(order_id, history)


def build_payment(order_id: str = ORDER, *, state: str = "CAPTURED", **changes: Any) -> Payment:
    """Build the payment of a purchased order, with some fields changed."""
    payment = Payment(
        order_id=order_id,
        state=PaymentState(state),
        amount=FINAL_AMOUNT,
        refunded=domain.ZERO,
        currency="EUR",
        created_at=LONG_AGO,
    )
    return replace(payment, **changes)


def build_reservation(
    order_id: str = ORDER, *, state: str = "COMMITTED", **changes: Any
) -> Reservation:
    """Build the reservation of a purchased order, with some fields changed."""
    reservation = Reservation(
        order_id=order_id,
        state=ReservationState(state),
        lines={KIBBLE.product_id: KIBBLE.quantity},
        expires_at=LONG_AGO,
    )
    return replace(reservation, **changes)


def build_redemption(
    order_id: str = ORDER, *, state: str = "REDEEMED", **changes: Any
) -> Redemption:
    """Build the redemption of a purchased order, with some fields changed."""
    redemption = Redemption(
        order_id=order_id,
        state=RedemptionState(state),
        code="WELCOME10",
        user_id="alice",
        redeemed_at=LONG_AGO,
    )
    return replace(redemption, **changes)


def purchased(order_id: str = ORDER, **changes: Any) -> OrderRecords:
    """Build consistent records of a purchased order, with some fields changed."""
    records = OrderRecords(
        order_id=order_id,
        order=build_order(*CONFIRMED, order_id=order_id),
        index=IndexEntry(order_id=order_id),
        saga=SagaEntry(order_id=order_id, due_at=None),
        payment=build_payment(order_id),
        reservation=build_reservation(order_id),
        redemption=build_redemption(order_id),
    )
    return replace(records, **changes)


def compensated(order_id: str = ORDER, **changes: Any) -> OrderRecords:
    """Build consistent records of a compensated order, with some fields changed."""
    records = purchased(
        order_id,
        order=build_order(*COMPENSATED, order_id=order_id),
        payment=build_payment(order_id, state="REFUNDED", refunded=FINAL_AMOUNT),
        reservation=build_reservation(order_id, state="RELEASED"),
        redemption=build_redemption(order_id, state="RELEASED"),
    )
    return replace(records, **changes)


class FakeSources:
    """Records by order, and sources that read them; `on_read` is called before each read."""

    def __init__(self, *all_records: OrderRecords) -> None:
        self.records = {records.order_id: records for records in all_records}
        self.on_read: Callable[[], object] = lambda: None

    def change(self, order_id: str, **changes: Any) -> None:
        self.records[order_id] = replace(self.records[order_id], **changes)

    @property
    def sources(self) -> Sequence[Source]:
        fields = ("order", "broken", "index", "saga", "payment", "reservation", "redemption")
        return [self._source(field) for field in fields]

    def _source(self, field: str) -> Source:
        def read(matches: Callable[[str], bool]) -> Iterator[Record]:
            self.on_read()
            for each in sorted(self.records):
                record = getattr(self.records[each], field)
                if matches(each) and record is not None:
                    yield record

        return Source(
            lambda order_id, _size: read(lambda each: each >= order_id),
            lambda order_ids: read(lambda each: each in order_ids),
        )


class InMemoryReconciliationRepository(ReconciliationRepository):
    """Findings in memory; `repaired` and `published` are what it was asked for."""

    def __init__(self) -> None:
        self.repaired: list[tuple[str, str]] = []
        self.published: list[Sequence[Finding]] = []
        self.unpublished = 0
        self.repairs: Counter[Kind] = Counter()
        self._known: set[tuple[str, str]] = set()

    @override
    def restore_index(self, records: OrderRecords) -> None:
        self.repaired.append(("restore_index", records.order_id))

    @override
    def restore_saga(self, records: OrderRecords) -> None:
        self.repaired.append(("restore_saga", records.order_id))

    @override
    def complete_saga(self, records: OrderRecords) -> None:
        self.repaired.append(("complete_saga", records.order_id))

    @override
    def count_unpublished(self, *, before: datetime) -> int:
        return self.unpublished

    @override
    def save_open_findings(self, findings: Sequence[Finding], scope: Scope) -> Sequence[Finding]:
        by_key = {
            (finding.discrepancy.order_id, finding.discrepancy.kind.value): finding
            for finding in findings
        }
        here = {key for key in self._known if _is_in(key[0], scope)}
        new = [finding for key, finding in by_key.items() if key not in self._known]
        self._known = (self._known - here) | by_key.keys()
        if new:
            self.published.append(new)
        return new

    @override
    def count_repairs(self) -> Mapping[Kind, int]:
        return dict(self.repairs)

    @override
    def add_repairs(self, repaired: Mapping[Kind, int]) -> None:
        self.repairs.update(repaired)


def _is_in(order_id: str, scope: Scope) -> bool:
    if scope.order_ids is not None:
        return order_id in scope.order_ids
    return order_id >= scope.first and (not scope.next_order_id or order_id < scope.next_order_id)


class InMemoryProgress(ProgressRepository):
    """Progress in memory; `changes` are (moment, order id), and positions are their numbers."""

    def __init__(self) -> None:
        self.changes: list[tuple[datetime, str]] = []
        self.order_count = 0
        self.progress = Progress()
        self.is_lost = False
        self._is_locked = False

    @override
    def acquire_lock(self, duration: timedelta) -> Progress | None:
        if self._is_locked:
            return None
        self._is_locked = True
        return self.progress

    @override
    def save_progress(self, progress: Progress, duration: timedelta) -> bool:
        if not self.is_lost:
            self.progress = progress
        return not self.is_lost

    @override
    def list_changed(
        self, position: str, *, since: datetime, until: datetime, limit: int
    ) -> Changes:
        matching = [
            (number, order_id)
            for number, (moment, order_id) in enumerate(self.changes, 1)
            if since <= moment < until and number > int(position or 0)
        ]
        found = matching[:limit]
        last = str(found[-1][0]) if found else position
        return Changes([order_id for _, order_id in found], last, has_more=len(found) == limit)

    @override
    def count_orders(self) -> int:
        return self.order_count

    def expire_lock(self) -> None:
        self._is_locked = False
