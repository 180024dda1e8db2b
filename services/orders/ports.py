"""The ports of orders: what checkout, saga and servicers need from stores and upstreams.

`repository` implements the store's ports with MongoDB, `clients` the upstreams' with gRPC,
`saga` the orchestrator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from services.common.errors import UnavailableError, UnprocessableError
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
class Captured:
    """The money was captured."""

    payment_id: str


@dataclass(frozen=True)
class Declined:
    """The payment provider declined; no money was captured."""

    reason: str


class Catalog(Protocol):
    """The catalog. Changes are keyed by the order and idempotent."""

    def get_item(self, product: str, quantity: int) -> Item | None:
        """Return a quantity of a product, by id or sku, at today's price; None if unknown.

        Whether there is enough of it is for `reserve` alone to judge.
        """

    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> datetime:
        """Reserve all items and return until when, or raise OutOfStockError and reserve none.

        A repeat returns when the first reservation ends. IdempotencyKeyExpiredError when the
        order's reservation was released before.
        """

    def commit(self, order_id: str) -> None:
        """Sell the reserved items; UpstreamRejectedError when they are gone."""

    def release(self, order_id: str) -> None:
        """Put the order's items back on sale, reserved or sold."""


class Promotions(Protocol):
    """The promotions. Changes are keyed by the order and idempotent."""

    def get_discount(
        self, order_id: str, promo_code: str, user_id: str, items: Sequence[Item]
    ) -> Decimal:
        """Return the discount that a code gives, or raise PromoInvalidError.

        A code that the order itself has redeemed applies.
        """

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


@dataclass(frozen=True)
class Attempt:
    """The lease under which one request places an order; `token` is its owner's alone."""

    order_id: str
    token: str


class Attempts(Protocol):
    """Leases that let one request at a time place the order of an Idempotency-Key.

    A lease that has run out may be taken over. What its former holder does then has no effect:
    `OrdersRepository.place` writes an order only for the holder.
    """

    def begin(self, order_id: str, fingerprint: str) -> Attempt | None:
        """Begin an attempt; None while another one is in progress.

        Raises the rejection with which an attempt of the same cart has just ended.
        """

    def end(self, attempt: Attempt) -> None:
        """Give up an attempt whose outcome may be another one next time."""

    def refuse(self, attempt: Attempt, refusal: UnprocessableError) -> bool:
        """Record the rejection of a cart, durably; False when the attempt was taken over.

        Once it is recorded, no earlier attempt can place the order any more.
        """


@dataclass(frozen=True)
class StepBegun:
    """A step of the saga that an instance is about to execute."""

    step: Step
    instance: str


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
        self,
        order_id: str,
        placed: OrderPlaced,
        *,
        payment_token: str,
        lease: timedelta = LEASE_DURATION,
        attempt: Attempt | None = None,
    ) -> Order:
        """Store a new order under a lease, and end the attempt.

        OrderChangedError if the order exists, or if the attempt was taken over.
        """

    def append(
        self,
        order: Order,
        events: Sequence[Event],
        *,
        lease: timedelta = LEASE_DURATION,
        begins: StepBegun | None = None,
    ) -> Order:
        """Append events to an order, extend its lease, and return it.

        With `begins`, the step is recorded with the events; the instance that begins it keeps the
        lease by heartbeats. OrderChangedError when the order has events that `order` has not.
        """


class SagaRepository(Protocol):
    """Stores the leases of the orders whose saga is not complete, and what was tried.

    Leases begin and end by the clock of the store, the only one that all instances share.
    """

    def record_step(self, order_id: str, begun: StepBegun, *, now: datetime) -> None:
        """Record a step that no event was appended before: the first, or that of a takeover."""

    def payment_token(self, order_id: str) -> str:
        """Return the token to pay an order with; empty once its saga is complete."""

    def traceparent(self, order_id: str) -> str:
        """Return the trace context in which an order was placed; empty if there was none."""

    def postpone(self, order_id: str, *, delay: timedelta, cause: str) -> None:
        """Give up the lease of an order; after a delay any instance may claim the order.

        An order that is at rest meanwhile stays at rest.
        """

    def extend_leases(self, order_ids: Sequence[str], *, lease: timedelta = LEASE_DURATION) -> None:
        """Extend the leases of orders from now on."""

    def claim_due(self, *, lease: timedelta = LEASE_DURATION) -> str | None:
        """Lease an order whose lease ran out; return its id, None without one."""


# The saga --------------------------------------------------------------------------------


class Orchestrator(Protocol):
    """Drives orders through their saga."""

    def require_capacity(self) -> None:
        """Raise OverloadedError when no further order could be driven now."""

    def submit(self, order: Order, *, payment_token: str | None = None) -> None:
        """Drive an order in the background; without its payment token, that is read when due."""

    def drive(self, order: Order) -> Order:
        """Execute the steps that are due; return the order as far as it got."""
