"""The domain events of an order: what happened, in the past tense.

Events are stored under their class names, which an order's history in the API shows too:
never rename one, never change what a field means. docs/decisions/0011-event-evolution.md
says how an event may change.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of an order, with the price at which it was ordered."""

    product_id: str
    sku: str
    title: str
    category: str
    quantity: int
    unit_price: Decimal

    @property
    def total(self) -> Decimal:
        """Return the price of the line."""
        return self.unit_price * self.quantity


@dataclass(frozen=True, kw_only=True)
class Address:
    """A postal address. `country` is an ISO 3166-1 alpha-2 code."""

    recipient: str
    line1: str
    line2: str
    postal_code: str
    city: str
    country: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """A domain event."""


@dataclass(frozen=True, kw_only=True)
class OrderPlaced(Event):
    """A customer placed the order; its stock is reserved until `hold_expires_at`.

    `fingerprint` is a hash of the cart: a repeated request has the same one.
    """

    user_id: str
    items: tuple[Item, ...]
    discount: Decimal
    currency: str
    promo_code: str
    address: Address
    hold_expires_at: datetime
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class PromoRedeemed(Event):
    """One use of the promotion code is counted."""


@dataclass(frozen=True, kw_only=True)
class PaymentStarted(Event):
    """A capture is about to be requested; from here on money may be captured."""


@dataclass(frozen=True, kw_only=True)
class PaymentCaptured(Event):
    """The money was captured."""

    payment_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentDeclined(Event):
    """The payment provider declined; no money was captured."""

    decline_reason: str


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(Event):
    """The stock is committed; the order can be packed."""


@dataclass(frozen=True, kw_only=True)
class OrderPreparationStarted(Event):
    """The order is being packed."""


@dataclass(frozen=True, kw_only=True)
class OrderShipped(Event):
    """The order was handed to the carrier."""

    tracking_number: str


@dataclass(frozen=True, kw_only=True)
class OrderDelivered(Event):
    """The customer received the order."""


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(Event):
    """The order is cancelled; money, promotion code and stock have to be compensated."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentSettled(Event):
    """The payment is refunded or voided; `refunded` is the amount (0 when none was captured)."""

    refunded: Decimal


@dataclass(frozen=True, kw_only=True)
class PromoReleased(Event):
    """The use of the promotion code is returned."""


@dataclass(frozen=True, kw_only=True)
class StockReleased(Event):
    """The products are back on sale."""


@dataclass(frozen=True, kw_only=True)
class RecordedEvent:
    """An event in an order's history; `sequence` counts from 1 for each order, without gaps."""

    sequence: int
    time: datetime
    event: Event
