"""The records that the services keep of each order, side by side: input of the reconciliation."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any

from services.orders.domain import Order, fold
from services.orders.events import OrderPlaced, RecordedEvent


class PaymentState(StrEnum):
    """The state of a payment, as in the payments' internal contract."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


class ReservationState(StrEnum):
    """The state of a reservation, as in the catalog's internal contract."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"


class RedemptionState(StrEnum):
    """The state of a redemption, as in the promotions' internal contract."""

    REDEEMED = "REDEEMED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class BrokenHistory:
    """The events of an order do not begin with OrderPlaced, or one is missing."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """The order is in its customer's list."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class SagaEntry:
    """The end of the saga's lease, `due_at`; None once the saga is complete."""

    order_id: str
    due_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The record of payments."""

    order_id: str
    state: PaymentState
    amount: Decimal
    refunded: Decimal
    currency: str
    created_at: datetime

    @property
    def may_have_money(self) -> bool:
        """Return whether money of the customer's was captured, or may be yet."""
        return self.state in (PaymentState.PENDING, PaymentState.CAPTURED)


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The record of the catalog; `lines` maps products to units."""

    order_id: str
    state: ReservationState
    lines: Mapping[str, int]
    expires_at: datetime

    @property
    def has_stock(self) -> bool:
        """Return whether its units are off sale."""
        return self.state in (ReservationState.HELD, ReservationState.COMMITTED)


@dataclass(frozen=True, kw_only=True)
class Redemption:
    """The record of promotions."""

    order_id: str
    state: RedemptionState
    code: str
    user_id: str
    redeemed_at: datetime | None

    @property
    def is_redeemed(self) -> bool:
        """Return whether a use of the code is counted."""
        return self.state is RedemptionState.REDEEMED


Record = Order | BrokenHistory | IndexEntry | SagaEntry | Payment | Reservation | Redemption

ReadFrom = Callable[[str, int], Iterator[Record]]
"""Given an order id and a page size, yields the records of one store, sorted by order id,
beginning with that one ("" is before all)."""
ReadOf = Callable[[Sequence[str]], Iterable[Record]]
"""Given order ids, at most MAX_ORDERS, returns the records of one store, in any order."""
MAX_ORDERS = 500


@dataclass(frozen=True)
class Source:
    """The records of one store: from an order on, and those of some orders."""

    read_from: ReadFrom
    read_of: ReadOf


@dataclass(frozen=True, kw_only=True)
class OrderRecords:
    """All records of one order."""

    order_id: str
    order: Order | None = None
    broken: BrokenHistory | None = None
    index: IndexEntry | None = None
    saga: SagaEntry | None = None
    payment: Payment | None = None
    reservation: Reservation | None = None
    redemption: Redemption | None = None


FIELD_BY_TYPE: Mapping[type, str] = {
    Order: "order",
    BrokenHistory: "broken",
    IndexEntry: "index",
    SagaEntry: "saga",
    Payment: "payment",
    Reservation: "reservation",
    Redemption: "redemption",
}


def fold_history(order_id: str, history: Sequence[RecordedEvent]) -> Order | BrokenHistory:
    """Compute an order from its history, unless that is broken."""
    is_whole = [recorded.sequence for recorded in history] == list(range(1, len(history) + 1))
    if not is_whole or not isinstance(history[0].event, OrderPlaced):
        return BrokenHistory(order_id=order_id)
    return fold(order_id, history)


def merge(sources: Iterable[Iterator[Record]]) -> Iterator[OrderRecords]:
    """Merge sources, each sorted by order id, into the records of each order, so sorted too."""
    by_order = attrgetter("order_id")
    for order_id, records in groupby(heapq.merge(*sources, key=by_order), by_order):
        fields: dict[str, Any] = {FIELD_BY_TYPE[type(record)]: record for record in records}
        yield OrderRecords(order_id=order_id, **fields)


def describe(records: OrderRecords) -> dict[str, str]:
    """Describe the records of an order as facts for a report, without personal data."""
    return {
        **(_describe_order(records.order) if records.order else {}),
        **(_describe_payment(records.payment) if records.payment else {}),
        **({"reservationState": records.reservation.state} if records.reservation else {}),
        **(_describe_redemption(records.redemption) if records.redemption else {}),
    }


def _describe_order(order: Order) -> dict[str, str]:
    amounts = {"orderAmount": str(order.final_amount), "orderRefund": str(order.refunded)}
    promo = {"orderPromoCode": order.placed.promo_code} if order.placed.promo_code else {}
    return {"orderStatus": order.status, **amounts, **promo}


def _describe_payment(payment: Payment) -> dict[str, str]:
    amounts = {"paymentAmount": str(payment.amount), "paymentRefund": str(payment.refunded)}
    return {"paymentStatus": payment.state, **amounts}


def _describe_redemption(redemption: Redemption) -> dict[str, str]:
    return {"redemptionState": redemption.state, "redemptionPromoCode": redemption.code}
