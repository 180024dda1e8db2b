"""What the services know of each order, side by side: the material of the reconciliation."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

from services.orders.domain import Order


@dataclass(frozen=True, kw_only=True)
class BrokenHistory:
    """The events of an order do not begin with its placing, or one is missing."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """The order is in the lists of its client."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class SagaEntry:
    """From when on anybody may carry the order on; None when it is at rest."""

    order_id: str
    due_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Payment:
    """What payments say. `status` is that of the internal contract."""

    order_id: str
    status: str
    amount: Decimal
    refunded: Decimal
    currency: str
    created_at: datetime

    @property
    def may_have_money(self) -> bool:
        """Return whether money of the client's is with us, or may yet be."""
        return self.status in ("PENDING", "CAPTURED")


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What the catalog says; `lines` maps products to units."""

    order_id: str
    state: str
    lines: Mapping[str, int]
    expires_at: datetime

    @property
    def has_stock(self) -> bool:
        """Return whether its units are off sale."""
        return self.state in ("HELD", "COMMITTED")


@dataclass(frozen=True, kw_only=True)
class Redemption:
    """What promotions say."""

    order_id: str
    state: str
    code: str
    user_id: str
    redeemed_at: datetime | None

    @property
    def is_used(self) -> bool:
        """Return whether a use of the code is counted."""
        return self.state == "REDEEMED"


Part = Order | BrokenHistory | IndexEntry | SagaEntry | Payment | Reservation | Redemption
Source = Callable[[str, int], Iterator[Part]]
"""Given an order, yields what one store has by order, beginning with that one ("" is before
all); loads so many at a time."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """All that is known of one order, wherever it is known."""

    order_id: str
    order: Order | None = None
    broken: BrokenHistory | None = None
    index: IndexEntry | None = None
    saga: SagaEntry | None = None
    payment: Payment | None = None
    reservation: Reservation | None = None
    redemption: Redemption | None = None


PLACES: Mapping[type, str] = {
    Order: "order",
    BrokenHistory: "broken",
    IndexEntry: "index",
    SagaEntry: "saga",
    Payment: "payment",
    Reservation: "reservation",
    Redemption: "redemption",
}


def merge(sources: Iterable[Iterator[Part]]) -> Iterator[Records]:
    """Yield what is known of each order, by order; each source yields its parts by order."""
    by_order = attrgetter("order_id")
    for order_id, parts in groupby(heapq.merge(*sources, key=by_order), by_order):
        known: dict[str, Any] = {PLACES[type(part)]: part for part in parts}
        yield Records(order_id=order_id, **known)


def describe(records: Records) -> dict[str, str]:
    """Return what the services say of an order, by names that people read; nothing personal."""
    return {
        **(_describe_order(records.order) if records.order else {}),
        **(_describe_payment(records.payment) if records.payment else {}),
        **({"reservationState": records.reservation.state} if records.reservation else {}),
        **(_describe_redemption(records.redemption) if records.redemption else {}),
    }


def _describe_order(order: Order) -> dict[str, str]:
    amounts = {"orderAmount": str(order.final), "orderRefund": str(order.refunded)}
    promo = {"orderPromoCode": order.placed.promo_code} if order.placed.promo_code else {}
    return {"orderStatus": order.status, **amounts, **promo}


def _describe_payment(payment: Payment) -> dict[str, str]:
    amounts = {"paymentAmount": str(payment.amount), "paymentRefund": str(payment.refunded)}
    return {"paymentStatus": payment.status, **amounts}


def _describe_redemption(redemption: Redemption) -> dict[str, str]:
    return {"redemptionState": redemption.state, "redemptionPromoCode": redemption.code}
