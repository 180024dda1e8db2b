"""Discrepancies between the services about an order, and their repairs.

An order whose saga is complete has its money, its stock and its promotion code in one of two
states: captured, committed and redeemed, or refunded and released. Everything else is a
discrepancy; so is a record without an order, and an order whose saga does not progress.
docs/reconciliation.md explains each kind to the platform team.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.orders.domain import ZERO, Order, next_step
from services.orders.reconciliation.records import (
    OrderRecords,
    PaymentState,
    Redemption,
    Reservation,
    ReservationState,
    SagaEntry,
    describe,
)
from services.orders.states import OrderStatus

GRACE_PERIOD = timedelta(seconds=60)
"""What changed less long ago may still be in progress, and is skipped."""
STALL_TIMEOUT = timedelta(minutes=10)
"""How long an order may wait for a step before it is reported as stalled."""
REDEMPTION_AGE = timedelta(days=365)
"""The age from which an order is not asked for its redemption: promotions keeps them a little
longer, and deletes them then."""


class Repair(StrEnum):
    """A repair of a discrepancy; each is idempotent, and harmless when it comes too late."""

    REFUND_PAYMENT = "REFUND_PAYMENT"
    COMMIT_STOCK = "COMMIT_STOCK"
    RELEASE_STOCK = "RELEASE_STOCK"
    REDEEM_PROMO = "REDEEM_PROMO"
    RELEASE_PROMO = "RELEASE_PROMO"
    RESTORE_INDEX = "RESTORE_INDEX"
    RESTORE_SAGA = "RESTORE_SAGA"
    REST_SAGA = "REST_SAGA"


class Kind(StrEnum):
    """A kind of discrepancy; the names are part of the internal contract."""

    HISTORY_LOST = "HISTORY_LOST"
    HISTORY_BROKEN = "HISTORY_BROKEN"
    INDEX_MISSING = "INDEX_MISSING"
    SAGA_MISSING = "SAGA_MISSING"
    SAGA_NOT_DUE = "SAGA_NOT_DUE"
    SAGA_DUE_IN_VAIN = "SAGA_DUE_IN_VAIN"
    ORDER_STALLED = "ORDER_STALLED"
    ORDER_NOT_PAID = "ORDER_NOT_PAID"
    PAYMENT_DIFFERS = "PAYMENT_DIFFERS"
    PAYMENT_NOT_RETURNED = "PAYMENT_NOT_RETURNED"
    REFUND_TOO_SMALL = "REFUND_TOO_SMALL"
    PAYMENT_WITHOUT_ORDER = "PAYMENT_WITHOUT_ORDER"
    STOCK_NOT_SOLD = "STOCK_NOT_SOLD"
    STOCK_DIFFERS = "STOCK_DIFFERS"
    STOCK_NOT_RELEASED = "STOCK_NOT_RELEASED"
    STOCK_WITHOUT_ORDER = "STOCK_WITHOUT_ORDER"
    HOLD_OVERDUE = "HOLD_OVERDUE"
    PROMO_NOT_REDEEMED = "PROMO_NOT_REDEEMED"
    PROMO_DIFFERS = "PROMO_DIFFERS"
    PROMO_UNEXPECTED = "PROMO_UNEXPECTED"
    PROMO_NOT_RELEASED = "PROMO_NOT_RELEASED"
    PROMO_WITHOUT_ORDER = "PROMO_WITHOUT_ORDER"
    OUTBOX_STUCK = "OUTBOX_STUCK"


REPAIRS: Mapping[Kind, Repair] = {
    Kind.INDEX_MISSING: Repair.RESTORE_INDEX,
    Kind.SAGA_MISSING: Repair.RESTORE_SAGA,
    Kind.SAGA_NOT_DUE: Repair.RESTORE_SAGA,
    Kind.SAGA_DUE_IN_VAIN: Repair.REST_SAGA,
    Kind.PAYMENT_NOT_RETURNED: Repair.REFUND_PAYMENT,
    Kind.PAYMENT_WITHOUT_ORDER: Repair.REFUND_PAYMENT,
    Kind.STOCK_NOT_SOLD: Repair.COMMIT_STOCK,
    Kind.STOCK_NOT_RELEASED: Repair.RELEASE_STOCK,
    Kind.STOCK_WITHOUT_ORDER: Repair.RELEASE_STOCK,
    Kind.HOLD_OVERDUE: Repair.RELEASE_STOCK,
    Kind.PROMO_NOT_REDEEMED: Repair.REDEEM_PROMO,
    Kind.PROMO_UNEXPECTED: Repair.RELEASE_PROMO,
    Kind.PROMO_NOT_RELEASED: Repair.RELEASE_PROMO,
    Kind.PROMO_WITHOUT_ORDER: Repair.RELEASE_PROMO,
}
"""The safe repairs; the other kinds are for a person to decide."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """A disagreement about an order; `facts` describe the records of the services."""

    kind: Kind
    order_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def repair(self) -> Repair | None:
        """Return its repair; None when a person has to decide."""
        return REPAIRS.get(self.kind)


def compare(
    records: OrderRecords, now: datetime, *, grace: timedelta = GRACE_PERIOD
) -> list[Discrepancy]:
    """Return the discrepancies of an order; what changed within `grace` is skipped."""
    return [
        Discrepancy(kind=kind, order_id=records.order_id, facts=describe(records))
        for kind in _find_kinds(records, now, now - grace)
    ]


def _find_kinds(records: OrderRecords, now: datetime, before: datetime) -> Iterator[Kind]:
    if records.broken:
        yield Kind.HISTORY_BROKEN
    elif records.order is None:
        yield from _check_without_order(records, before)
    elif _is_before(records.order.updated_at, before):
        yield from _check_order(records, records.order, now)


def _check_without_order(records: OrderRecords, before: datetime) -> Iterator[Kind]:
    """Check records without an order; nothing is repaired if the order's history was lost."""
    if records.index or records.saga:
        yield Kind.HISTORY_LOST
        return
    payment, redemption = records.payment, records.redemption
    if payment and payment.may_have_money and _is_before(payment.created_at, before):
        yield Kind.PAYMENT_WITHOUT_ORDER
    if records.reservation:
        yield from _check_unordered_stock(records.reservation, before)
    if redemption and redemption.is_redeemed and _is_before(redemption.redeemed_at, before):
        yield Kind.PROMO_WITHOUT_ORDER


def _check_unordered_stock(reservation: Reservation, before: datetime) -> Iterator[Kind]:
    if reservation.state is ReservationState.COMMITTED:
        yield Kind.STOCK_WITHOUT_ORDER
    elif reservation.state is ReservationState.HELD and _is_before(reservation.expires_at, before):
        yield Kind.HOLD_OVERDUE


def _is_before(moment: datetime | None, before: datetime) -> bool:
    """Return whether something is too long ago to be still in progress."""
    return moment is None or moment <= before


def _check_order(records: OrderRecords, order: Order, now: datetime) -> Iterator[Kind]:
    if records.index is None:
        yield Kind.INDEX_MISSING
    if next_step(order, now):
        yield from _check_running_saga(records.saga, order, now)
        return
    yield from _check_complete_saga(records.saga)
    cancelled = order.status is OrderStatus.CANCELLED
    if cancelled:
        yield from _check_compensated(records, order)
        return
    yield from _check_purchased(records, order)
    if records.redemption or now - order.created_at < REDEMPTION_AGE:
        yield from _check_redeemed(records.redemption, order)


def _check_running_saga(saga: SagaEntry | None, order: Order, now: datetime) -> Iterator[Kind]:
    if saga is None:
        yield Kind.SAGA_MISSING
    elif saga.due_at is None:
        yield Kind.SAGA_NOT_DUE
    elif now - _may_wait_until(order) >= STALL_TIMEOUT:
        yield Kind.ORDER_STALLED


def _may_wait_until(order: Order) -> datetime:
    """Return until when an order may wait for an upstream."""
    if order.status is OrderStatus.CANCELLED:
        return order.updated_at
    return max(order.updated_at, order.placed.hold_expires_at)


def _check_complete_saga(saga: SagaEntry | None) -> Iterator[Kind]:
    if saga is None:
        yield Kind.SAGA_MISSING
    elif saga.due_at is not None:
        yield Kind.SAGA_DUE_IN_VAIN


def _check_purchased(records: OrderRecords, order: Order) -> Iterator[Kind]:
    """Check the payment and the stock of an order that was purchased."""
    payment, reservation = records.payment, records.reservation
    if payment is None or payment.state is not PaymentState.CAPTURED:
        yield Kind.ORDER_NOT_PAID
    elif (payment.amount, payment.currency) != (order.final_amount, order.placed.currency):
        yield Kind.PAYMENT_DIFFERS
    if reservation is None or reservation.state is ReservationState.RELEASED:
        yield Kind.STOCK_NOT_SOLD
    elif reservation.lines != _lines(order):
        yield Kind.STOCK_DIFFERS
    elif reservation.state is not ReservationState.COMMITTED:
        yield Kind.STOCK_NOT_SOLD


def _check_redeemed(redemption: Redemption | None, order: Order) -> Iterator[Kind]:
    is_redeemed = redemption is not None and redemption.is_redeemed
    if not order.placed.promo_code:
        if is_redeemed:
            yield Kind.PROMO_UNEXPECTED
    elif redemption is None or not is_redeemed:
        yield Kind.PROMO_NOT_REDEEMED
    elif (redemption.code, redemption.user_id) != (order.placed.promo_code, order.user_id):
        yield Kind.PROMO_DIFFERS


def _check_compensated(records: OrderRecords, order: Order) -> Iterator[Kind]:
    """Check an order that was cancelled and compensated."""
    payment = records.payment
    if payment and payment.may_have_money:
        yield Kind.PAYMENT_NOT_RETURNED
    elif (payment.refunded if payment else ZERO) < order.refunded:
        yield Kind.REFUND_TOO_SMALL
    if records.reservation and records.reservation.has_stock:
        yield Kind.STOCK_NOT_RELEASED
    if records.redemption and records.redemption.is_redeemed:
        yield Kind.PROMO_NOT_RELEASED


def _lines(order: Order) -> Mapping[str, int]:
    lines: Counter[str] = Counter()
    for item in order.placed.items:
        lines[item.product_id] += item.quantity
    return lines


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A discrepancy and the outcome of its repair; `failure` is why that failed, if it did."""

    discrepancy: Discrepancy
    is_repaired: bool = False
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The orders that were compared: those named, or all from `first` on until `next_order_id`.

    "" as a name is for findings about no order. An empty `next_order_id` is after all orders.
    """

    order_ids: Sequence[str] | None = None
    first: str = ""
    next_order_id: str = ""
