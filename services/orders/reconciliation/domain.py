"""Where the services do not agree about an order, and what may be done about it.

An order that has come to rest has its money, its stock and its promotion code in one of
two states: all taken, or all given back. Whatever else the services say is a discrepancy;
so is what belongs to no order, and an order that nobody carries on. docs/reconciliation.md
tells what each kind means to a person.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.orders.domain import NOTHING, Order, OrderStatus, next_step
from services.orders.reconciliation.records import Records, Redemption, SagaEntry, describe

GRACE = timedelta(seconds=60)
"""What changed less long ago may be on its way, and is left alone."""
PATIENCE = timedelta(minutes=10)
"""How long an order may need for a step before somebody has to look."""


class Repair(StrEnum):
    """What mends a discrepancy; each may be done twice, and too late, without harm."""

    REFUND_PAYMENT = "REFUND_PAYMENT"
    COMMIT_STOCK = "COMMIT_STOCK"
    RELEASE_STOCK = "RELEASE_STOCK"
    REDEEM_PROMO = "REDEEM_PROMO"
    RELEASE_PROMO = "RELEASE_PROMO"
    RESTORE_INDEX = "RESTORE_INDEX"
    RESTORE_SAGA = "RESTORE_SAGA"
    REST_SAGA = "REST_SAGA"


class Kind(StrEnum):
    """On what the services do not agree."""

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
"""What is safe to do; the other kinds are for a person to decide."""


# What does not agree ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """Something that does not agree; `facts` are what the services say."""

    kind: Kind
    order_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def repair(self) -> Repair | None:
        """Return what mends it; None when only a person can."""
        return REPAIRS.get(self.kind)


def compare(records: Records, now: datetime) -> list[Discrepancy]:
    """Return all on which the services do not agree about an order."""
    return [
        Discrepancy(kind=kind, order_id=records.order_id, facts=describe(records))
        for kind in _judge(records, now)
    ]


def _judge(records: Records, now: datetime) -> Iterator[Kind]:
    if records.broken:
        yield Kind.HISTORY_BROKEN
    elif records.order is None:
        yield from _judge_lost(records, now)
    elif _is_over(records.order.updated_at, now):
        yield from _judge_order(records, records.order, now)


def _judge_lost(records: Records, now: datetime) -> Iterator[Kind]:
    """Judge what is there without an order; if there was one, its goods are not touched."""
    if records.index or records.saga:
        yield Kind.HISTORY_LOST
        return
    payment, reservation, redemption = records.payment, records.reservation, records.redemption
    if payment and payment.may_have_money and _is_over(payment.created_at, now):
        yield Kind.PAYMENT_WITHOUT_ORDER
    if reservation and reservation.state == "COMMITTED":
        yield Kind.STOCK_WITHOUT_ORDER
    if reservation and reservation.state == "HELD" and _is_over(reservation.expires_at, now):
        yield Kind.HOLD_OVERDUE
    if redemption and redemption.is_used and _is_over(redemption.redeemed_at, now):
        yield Kind.PROMO_WITHOUT_ORDER


def _is_over(moment: datetime | None, now: datetime) -> bool:
    """Return whether something is too long ago to be on its way."""
    return moment is None or now - moment >= GRACE


def _judge_order(records: Records, order: Order, now: datetime) -> Iterator[Kind]:
    if records.index is None:
        yield Kind.INDEX_MISSING
    if next_step(order, now):
        yield from _judge_motion(records.saga, order, now)
        return
    yield from _judge_rest(records.saga)
    cancelled = order.status is OrderStatus.CANCELLED
    yield from _judge_given_back(records, order) if cancelled else _judge_taken(records, order)


def _judge_motion(saga: SagaEntry | None, order: Order, now: datetime) -> Iterator[Kind]:
    if saga is None:
        yield Kind.SAGA_MISSING
    elif saga.due_at is None:
        yield Kind.SAGA_NOT_DUE
    elif now - _last_chance(order) >= PATIENCE:
        yield Kind.ORDER_STALLED


def _last_chance(order: Order) -> datetime:
    """Return until when an order may wait for another service, as far as it can be known."""
    if order.status is OrderStatus.CANCELLED:
        return order.updated_at
    return max(order.updated_at, order.placed.hold_expires_at)


def _judge_rest(saga: SagaEntry | None) -> Iterator[Kind]:
    if saga is None:
        yield Kind.SAGA_MISSING
    elif saga.due_at is not None:
        yield Kind.SAGA_DUE_IN_VAIN


def _judge_taken(records: Records, order: Order) -> Iterator[Kind]:
    """Judge an order that was bought."""
    payment, reservation = records.payment, records.reservation
    if payment is None or payment.status != "CAPTURED":
        yield Kind.ORDER_NOT_PAID
    elif (payment.amount, payment.currency) != (order.final, order.placed.currency):
        yield Kind.PAYMENT_DIFFERS
    if reservation is None or reservation.state == "RELEASED":
        yield Kind.STOCK_NOT_SOLD
    elif reservation.lines != _lines(order):
        yield Kind.STOCK_DIFFERS
    elif reservation.state != "COMMITTED":
        yield Kind.STOCK_NOT_SOLD
    yield from _judge_promo_taken(records.redemption, order)


def _judge_promo_taken(redemption: Redemption | None, order: Order) -> Iterator[Kind]:
    is_used = redemption is not None and redemption.is_used
    if not order.placed.promo_code:
        if is_used:
            yield Kind.PROMO_UNEXPECTED
    elif redemption is None or not is_used:
        yield Kind.PROMO_NOT_REDEEMED
    elif (redemption.code, redemption.user_id) != (order.placed.promo_code, order.user_id):
        yield Kind.PROMO_DIFFERS


def _judge_given_back(records: Records, order: Order) -> Iterator[Kind]:
    """Judge an order that was cancelled and settled."""
    payment = records.payment
    if payment and payment.may_have_money:
        yield Kind.PAYMENT_NOT_RETURNED
    elif (payment.refunded if payment else NOTHING) < order.refunded:
        yield Kind.REFUND_TOO_SMALL
    if records.reservation and records.reservation.has_stock:
        yield Kind.STOCK_NOT_RELEASED
    if records.redemption and records.redemption.is_used:
        yield Kind.PROMO_NOT_RELEASED


def _lines(order: Order) -> Mapping[str, int]:
    lines: Counter[str] = Counter()
    for item in order.placed.items:
        lines[item.product_id] += item.quantity
    return lines


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A discrepancy and what became of it; `failure` is why its repair failed, if it was tried."""

    discrepancy: Discrepancy
    is_repaired: bool = False
    failure: str = ""
