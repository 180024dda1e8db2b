"""The ports of orders: what checkout, saga and servicers need from stores and upstreams.

`repository` implements the store's ports with MongoDB, `clients` the upstreams' with gRPC,
`saga` the orchestrator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from services.common.errors import UnavailableError
from services.orders.domain import Order, Step
from services.orders.events import Event, Item, OrderPlaced, RecordedEvent

LEASE_DURATION = timedelta(seconds=2)
"""How long an instance may work on an order without a heartbeat, before a takeover."""


# Errors of upstreams ---------------------------------------------------------------------


class ServiceUnavailableError(UnavailableError):
    """An upstream does not answer, or not in time.

    The outcome of the call is unknown; the call may be repeated.
    """

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self, service: str) -> None:
        super().__init__(f"The {service} service does not answer; try again.", service=service)


class UpstreamRejectedError(Exception):
    """An upstream rejects a call with a reason of its own; repeating it does not help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# Upstreams -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """The price of a product, and how many units are on sale."""

    item: Item
    available_quantity: int


@dataclass(frozen=True)
class Captured:
    """The money was captured."""

    payment_id: str


@dataclass(frozen=True)
class Declined:
    """The payment provider declined; no money was captured."""

    reason: str


class Catalog(Protocol):
    """The catalog. Changes are keyed by the order and idempotent."""

    def get_offer(self, product: str, quantity: int) -> Offer | None:
        """Return the offer for a quantity of a product, by id or sku; None if unknown."""

    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> None:
        """Reserve all items, or raise OutOfStockError and reserve none."""

    def commit(self, order_id: str) -> None:
        """Sell the reserved items; UpstreamRejectedError when they are gone."""

    def release(self, order_id: str) -> None:
        """Put the order's items back on sale, reserved or sold."""


class Promotions(Protocol):
    """The promotions. Changes are keyed by the order and idempotent."""

    def get_discount(self, promo_code: str, user_id: str, items: Sequence[Item]) -> Decimal:
        """Return the discount that a code gives, or raise PromoInvalidError."""

    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        """Count one use of a code; UpstreamRejectedError when it applies no more."""

    def release(self, order_id: str, promo_code: str) -> None:
        """Return the use of a code."""


class Payments(Protocol):
    """The payments. Changes are keyed by the order and idempotent."""

    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        """Capture an amount; UpstreamRejectedError when the payment is closed."""

    def refund(self, order_id: str, reason: str) -> Decimal:
        """Refund what was captured and void what was not; return the refunded amount."""


# Stores ----------------------------------------------------------------------------------


class OrdersRepository(Protocol):
    """Stores orders as histories of events, and with each the state of its saga."""

    def find(self, order_id: str) -> Order | None:
        """Return an order, or None."""

    def load(self, order_id: str) -> Order:
        """Return an order; OrderNotFoundError if it does not exist."""

    def history(self, order_id: str) -> Sequence[RecordedEvent]:
        """Return every event of an order, oldest first; empty if it does not exist."""

    def list_by_user(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        """Return a page of a customer's orders, newest first, and the number of all."""

    def list_by_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        """Return a customer's orders that contain a product, in no order."""

    def place(
        self, order_id: str, placed: OrderPlaced, *, payment_token: str, due_at: datetime
    ) -> Order:
        """Store a new order whose lease ends at `due_at`; OrderChangedError if it exists."""

    def append(self, order: Order, events: Sequence[Event], *, due_at: datetime) -> Order:
        """Append events to an order, extend its lease to `due_at`, and return it.

        OrderChangedError when the order has events that `order` has not.
        """


class SagaRepository(Protocol):
    """Stores the leases of the orders whose saga is not complete, and what was tried."""

    def record_step(self, order_id: str, step: Step, *, instance: str, now: datetime) -> None:
        """Record that an instance is about to execute a step."""

    def payment_token(self, order_id: str) -> str:
        """Return the token to pay an order with; empty once its saga is complete."""

    def postpone(self, order_id: str, *, due_at: datetime, cause: str) -> None:
        """Give up the lease of an order; any instance may claim the order from `due_at`."""

    def extend_leases(self, order_ids: Sequence[str], *, due_at: datetime) -> None:
        """Extend the leases of orders to `due_at`."""

    def claim_due(self, *, now: datetime, due_at: datetime) -> str | None:
        """Lease an order whose lease ran out, until `due_at`; return its id, None without one."""


# The saga --------------------------------------------------------------------------------


class Orchestrator(Protocol):
    """Drives orders through their saga."""

    def submit(self, order: Order) -> None:
        """Drive an order in the background."""

    def drive(self, order: Order) -> Order:
        """Execute the steps that are due; return the order as far as it got."""
