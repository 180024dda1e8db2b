"""What the invariants are judged on: the records of all services, side by side.

A reader of real stores (stores.py) fills them, or anything else that has such records.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from services.orders.events import RecordedEvent
from services.orders.reconciliation.records import (
    FIELD_BY_TYPE,
    IndexEntry,
    OrderRecords,
    fold_history,
)


@dataclass(frozen=True, kw_only=True)
class History:
    """The events of an order, in their order."""

    order_id: str
    events: Sequence[RecordedEvent]


@dataclass(frozen=True, kw_only=True)
class ListEntry(IndexEntry):
    """What the customer's list of orders has about an order."""

    user_id: str
    created_at: datetime


class ChargeState(StrEnum):
    """What the payment provider has of the customer's money."""

    NONE = "NONE"
    CHARGED = "CHARGED"
    REFUNDED = "REFUNDED"


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A transaction of the payment provider; `order_id` is "" if no payment has its key."""

    order_id: str
    key: str
    state: ChargeState
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Published:
    """An integration event about an order, as the event log has it; a copy has the same id."""

    order_id: str
    event_id: str
    name: str
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Mailing:
    """The summaries of an order that the customer was or will be sent."""

    order_id: str
    summaries: int


@dataclass(frozen=True, kw_only=True)
class KeyedAnswer:
    """An answer to `POST /api/orders` with an Idempotency-Key, as its sender wrote it down.

    `order_id` is the order that the key stands for, `placed_id` the one that was answered, "" for
    none. `body` is equal for equal requests, `at` is in seconds since 1970. Status 0: no answer.
    """

    order_id: str
    body: str
    at: float
    status: int
    placed_id: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What the consumers made of an order's events; None for what is not to be judged.

    `processed` are the ids of events that notifications has processed; `purchases` maps products
    to how often the graph has the order; `is_silent` is whether no summary may be sent.
    """

    processed: frozenset[str] | None = None
    purchases: Mapping[str, int] | None = None
    is_silent: bool = False


@dataclass(frozen=True, kw_only=True)
class OrderFacts:
    """All records of one order.

    `log_begins` is since when the event log is whole; None if nothing of it is to be judged.
    """

    records: OrderRecords
    history: Sequence[RecordedEvent] = ()
    charges: Sequence[Charge] = ()
    published: Sequence[Published] = ()
    answers: Sequence[KeyedAnswer] = ()
    mailing: Mailing | None = None
    effects: Effects = field(default_factory=Effects)
    log_begins: datetime | None = None

    @property
    def order_id(self) -> str:
        """Return the id of the order."""
        return self.records.order_id


@dataclass(frozen=True, kw_only=True)
class ProductFacts:
    """The units of a product: all that ever came in or were taken out by hand, now on sale, and
    reserved or sold. `supplied` is None for a product whose first stock is not recorded."""

    product_id: str
    supplied: int | None
    stock: int
    off_sale: int


@dataclass(frozen=True, kw_only=True)
class PromotionFacts:
    """The uses of a code; 0 means no limit.

    `used` are readings of its counter from before and after its orders were read, without what it
    was added with (None: unknown); `orders` is the number of orders that hold a use;
    `by_customer` are its counters of customers (None: expired).
    """

    code: str
    max_uses: int
    max_uses_per_user: int
    used: Sequence[int]
    used_before: int | None
    orders: int
    by_customer: Iterable[tuple[str, int]] | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Messages that wait somewhere; `seconds` is the age of the oldest, if known."""

    where: str
    count: int
    seconds: float | None = None


class Facts(Protocol):
    """All that is judged, read anew with each call; orders in the order of their ids."""

    def orders(self) -> Iterator[OrderFacts]:
        """Read the orders, and records without one."""

    def products(self) -> Iterator[ProductFacts]:
        """Read the products."""

    def promotions(self) -> Iterator[PromotionFacts]:
        """Read the promotions; after the orders, whose uses are counted."""

    def charges_without_payment(self) -> Iterator[Charge]:
        """Read the transactions of the payment provider that no payment knows."""

    def waiting(self) -> Iterator[Waiting]:
        """Read what waits in outboxes, queues and for an operator."""


def gather(sources: Iterable[Iterator[Any]]) -> Iterator[OrderFacts]:
    """Merge records, each source sorted by `order_id`, into the facts of each order."""
    by_order = attrgetter("order_id")
    for order_id, found in groupby(heapq.merge(*sources, key=by_order), by_order):
        yield _build(order_id, found)


def _build(order_id: str, found: Iterable[Any]) -> OrderFacts:
    by_type: defaultdict[type, list[Any]] = defaultdict(list)
    for record in found:
        by_type[type(record)].append(record)
    fields = {FIELD_BY_TYPE[each]: by_type[each][0] for each in FIELD_BY_TYPE if each in by_type}
    for entry in by_type[ListEntry]:
        fields["index"] = entry
    history = by_type[History][0].events if by_type[History] else ()
    if history:
        folded = fold_history(order_id, history)
        fields[FIELD_BY_TYPE[type(folded)]] = folded
    return OrderFacts(
        records=OrderRecords(order_id=order_id, **fields),
        history=history,
        charges=by_type[Charge],
        published=by_type[Published],
        answers=sorted(by_type[KeyedAnswer], key=attrgetter("at")),
        mailing=by_type[Mailing][0] if by_type[Mailing] else None,
    )
