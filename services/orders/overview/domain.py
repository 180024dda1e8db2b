"""What the owner of the shop asks about orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from services.orders.domain import Order


class Filter(StrEnum):
    """Which orders to list."""

    RECENT = "SHOP_ORDERS_FILTER_UNSPECIFIED"
    TO_SHIP = "TO_SHIP"
    STUCK = "STUCK"


@dataclass(frozen=True, kw_only=True)
class Day:
    """The numbers of a day that is not over; `revenue` is what was paid for the orders sold.

    What waits, is stuck or is open is of any day; MAX_COUNT is the most that is counted of each.
    """

    since: datetime
    placed_count: int = 0
    sold_count: int = 0
    revenue: Decimal = Decimal("0.00")
    to_ship_count: int = 0
    stuck_count: int = 0
    discrepancy_count: int = 0


@dataclass(frozen=True)
class Orders:
    """A page of orders, and how many there are on all pages, up to MAX_COUNT."""

    orders: Sequence[Order]
    total: int


@dataclass(frozen=True, kw_only=True)
class OpenDiscrepancy:
    """A discrepancy of an order, of a kind of the reconciliation, that is not repaired."""

    kind: str
    order_id: str
    found_at: datetime


def day_start(now: datetime, utc_offset: timedelta) -> datetime:
    """Return when the day began where clocks are ahead of UTC by an offset."""
    there = now + utc_offset
    return there.replace(hour=0, minute=0, second=0, microsecond=0) - utc_offset
