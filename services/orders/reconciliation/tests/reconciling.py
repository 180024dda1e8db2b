"""Records of orders that agree, ways to disturb them, and a memory of what was found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.orders import domain
from services.orders.domain import Event, Order, OrderPlaced, Recorded, fold
from services.orders.reconciliation.domain import Finding
from services.orders.reconciliation.records import (
    IndexEntry,
    Part,
    Payment,
    Records,
    Redemption,
    Reservation,
    SagaEntry,
    Source,
)
from services.orders.tests.fakes import KIBBLE, NOW, build_placed

ORDER = "11111111-1111-4111-8111-111111111111"
LONG_AGO = NOW - timedelta(hours=1)
TAKEN: Sequence[Event] = (
    domain.PromoRedeemed(),
    domain.PaymentStarted(),
    domain.PaymentCaptured(payment_id="p"),
    domain.OrderConfirmed(),
)
FINAL = build_placed().items[0].total - build_placed().discount
GIVEN_BACK: Sequence[Event] = (
    *TAKEN,
    domain.OrderCancelled(reason="CLIENT"),
    domain.PaymentSettled(refunded=FINAL),
    domain.PromoReleased(),
    domain.StockReleased(),
)


def build_order(
    *events: Event, order_id: str = ORDER, at: datetime = LONG_AGO, **changes: Any
) -> Order:
    """Return an order to which that happened, all of it at one moment."""
    placed: OrderPlaced = build_placed(**changes)
    history = [
        Recorded(sequence=sequence, time=at, event=event)
        for sequence, event in enumerate([placed, *events], 1)
    ]
    return fold(order_id, history)


def build_payment(order_id: str = ORDER, **changes: Any) -> Payment:
    """Return the payment of an order that was bought, changed as told."""
    payment = Payment(
        order_id=order_id,
        status="CAPTURED",
        amount=FINAL,
        refunded=domain.NOTHING,
        currency="EUR",
        created_at=LONG_AGO,
    )
    return replace(payment, **changes)


def build_reservation(order_id: str = ORDER, **changes: Any) -> Reservation:
    """Return the reservation of an order that was bought, changed as told."""
    reservation = Reservation(
        order_id=order_id,
        state="COMMITTED",
        lines={KIBBLE.product_id: KIBBLE.quantity},
        expires_at=LONG_AGO,
    )
    return replace(reservation, **changes)


def build_redemption(order_id: str = ORDER, **changes: Any) -> Redemption:
    """Return the redemption of an order that was bought, changed as told."""
    redemption = Redemption(
        order_id=order_id,
        state="REDEEMED",
        code="WELCOME10",
        user_id="alice",
        redeemed_at=LONG_AGO,
    )
    return replace(redemption, **changes)


def bought(order_id: str = ORDER, **changes: Any) -> Records:
    """Return what is known of an order that was bought, when all agree; changed as told."""
    records = Records(
        order_id=order_id,
        order=build_order(*TAKEN, order_id=order_id),
        index=IndexEntry(order_id=order_id),
        saga=SagaEntry(order_id=order_id, due_at=None),
        payment=build_payment(order_id),
        reservation=build_reservation(order_id),
        redemption=build_redemption(order_id),
    )
    return replace(records, **changes)


def given_back(order_id: str = ORDER, **changes: Any) -> Records:
    """Return what is known of an order that was cancelled, when all agree; changed as told."""
    records = bought(
        order_id,
        order=build_order(*GIVEN_BACK, order_id=order_id),
        payment=build_payment(order_id, status="REFUNDED", refunded=FINAL),
        reservation=build_reservation(order_id, state="RELEASED"),
        redemption=build_redemption(order_id, state="RELEASED"),
    )
    return replace(records, **changes)


class FakeShelves:
    """What all services know, and sources that read it; `on_read` happens before each read."""

    def __init__(self, *all_records: Records) -> None:
        self.records = {records.order_id: records for records in all_records}
        self.on_read: Callable[[], object] = lambda: None

    def change(self, order_id: str, **changes: Any) -> None:
        self.records[order_id] = replace(self.records[order_id], **changes)

    @property
    def sources(self) -> Sequence[Source]:
        places = ("order", "broken", "index", "saga", "payment", "reservation", "redemption")
        return [self._source(place) for place in places]

    def _source(self, place: str) -> Source:
        def read(order_id: str, _size: int) -> Iterator[Part]:
            self.on_read()
            for each in sorted(self.records):
                part = getattr(self.records[each], place)
                if each >= order_id and part is not None:
                    yield part

        return read


class InMemoryReconciliationRepository:
    """Remembers findings and turns in memory; notes what it was asked to mend."""

    def __init__(self) -> None:
        self.mended: list[tuple[str, str]] = []
        self.told: list[Sequence[Finding]] = []
        self.waiting = 0
        self._known: set[tuple[str, str]] = set()
        self._until = NOW - timedelta(days=1)
        self._following = ""

    def restore_index(self, records: Records) -> None:
        self.mended.append(("restore_index", records.order_id))

    def restore_saga(self, records: Records) -> None:
        self.mended.append(("restore_saga", records.order_id))

    def rest_saga(self, records: Records) -> None:
        self.mended.append(("rest_saga", records.order_id))

    def waiting_since(self, moment: datetime) -> int:
        return self.waiting

    def remember(
        self, open_findings: Sequence[Finding], *, first: str, following: str
    ) -> Sequence[Finding]:
        by_key = {
            (finding.discrepancy.order_id, finding.discrepancy.kind.value): finding
            for finding in open_findings
        }
        here = {key for key in self._known if key[0] >= first}
        here = {key for key in here if not following or key[0] < following}
        new = [finding for key, finding in by_key.items() if key not in self._known]
        self._known = (self._known - here) | by_key.keys()
        if new:
            self.told.append(new)
        return new

    def take_turn(self, *, now: datetime, until: datetime) -> str | None:
        if self._until > now:
            return None
        self._until = until
        return self._following

    def go_on(self, order_id: str, *, until: datetime) -> None:
        self._following, self._until = order_id, until
