"""What the catalog knows: products, what is on sale, and who holds it.

Stock on sale is what is left after every hold. An order holds stock (HELD) until it is
sold (COMMITTED), given back (RELEASED) or its time is over (EXPIRED):

    HELD ----> COMMITTED ----> RELEASED
     | \\---------------------> RELEASED
     v                            ^
    EXPIRED ----------------------+
     (a late commit takes the stock again, if it is still there)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableError,
)

LOW_STOCK = 5
"""At this number of units or fewer, a product is nearly sold out."""


class ProductNotFoundError(NotFoundError):
    """There is no such product."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, *products: str) -> None:
        named = ", ".join(products)
        super().__init__(f"There is no product {named}.", productIds=",".join(products))


class SkuExistsError(AlreadyExistsError):
    """The sku belongs to another product."""

    reason = "SKU_EXISTS"

    def __init__(self, sku: str) -> None:
        super().__init__(f"The sku {sku} belongs to another product.", sku=sku)


class StockBelowZeroError(FailedPreconditionError):
    """An adjustment would take more than is on sale."""

    reason = "STOCK_BELOW_ZERO"

    def __init__(self, *, on_sale: int) -> None:
        super().__init__(f"Only {on_sale} are on sale.", availableQuantity=str(on_sale))


class OutOfStockError(UnprocessableError):
    """Less is on sale than was asked for; `short` maps product ids to what is on sale."""

    reason = "OUT_OF_STOCK"

    def __init__(self, short: Mapping[str, int]) -> None:
        super().__init__(
            "Not enough is on sale of: " + ", ".join(short),
            productIds=",".join(short),
            availableQuantities=",".join(map(str, short.values())),
        )


class ReservationNotFoundError(NotFoundError):
    """The order never held anything."""

    reason = "RESERVATION_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} holds no stock.", orderId=order_id)


class ReservationClosedError(FailedPreconditionError):
    """The order's stock was put back on sale, for good."""

    reason = "RESERVATION_CLOSED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The stock of order {order_id} was released.", orderId=order_id)


class ReservationMismatchError(AlreadyExistsError):
    """The order holds other lines already."""

    reason = "RESERVATION_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} holds other products.", orderId=order_id)


class NotBoughtError(PermissionDeniedError):
    """A product is rated by somebody who has not bought it."""

    reason = "NOT_BOUGHT"

    def __init__(self, product_id: str) -> None:
        super().__init__("Only those who have bought it may rate it.", productId=product_id)


@dataclass(frozen=True, kw_only=True)
class Product:
    """One product. `price` has two digits; `stock` is the units on sale now.

    `rating_average` is the mean number of stars, with two digits; 0 without ratings.
    """

    product_id: str
    sku: str
    title: str
    description: str
    category: str
    price: Decimal
    currency: str
    stock: int
    image_url: str
    rating_average: float = 0.0
    rating_count: int = 0


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What a client thinks of a product; `created_at` is when they first said so."""

    product_id: str
    user_id: str
    stars: int
    comment: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A promotion that runs now; empty `category` means that it is for all products."""

    code: str
    discount_percentage: int
    category: str = ""


@dataclass(frozen=True)
class Line:
    """A product, by its id, and a number of units of it."""

    product_id: str
    quantity: int


class Availability(StrEnum):
    """Whether a line can be sold."""

    AVAILABLE = "AVAILABLE"
    INSUFFICIENT = "INSUFFICIENT"
    UNKNOWN_PRODUCT = "UNKNOWN_PRODUCT"


class ReservationState(StrEnum):
    """Where a reservation stands; see the module's picture."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What one order holds, or has bought."""

    order_id: str
    state: ReservationState
    expires_at: datetime
    lines: Sequence[Line] = ()

    @property
    def has_stock(self) -> bool:
        """Return whether its units are off sale."""
        return self.state in (ReservationState.HELD, ReservationState.COMMITTED)


@dataclass(frozen=True)
class Change:
    """A reservation after a decision, and the units that leave the shelf (or come back, < 0)."""

    reservation: Reservation
    taken: Sequence[Line] = ()


def reserve(existing: Reservation | None, wanted: Reservation) -> Change:
    """Decide on holding stock; a repeat changes nothing, an expired hold is taken again."""
    if existing is None:
        return Change(wanted, taken=wanted.lines)
    if existing.state is ReservationState.RELEASED:
        raise ReservationClosedError(existing.order_id)
    if existing.lines != wanted.lines:
        raise ReservationMismatchError(existing.order_id)
    if existing.state is ReservationState.EXPIRED:
        held = replace(existing, state=ReservationState.HELD, expires_at=wanted.expires_at)
        return Change(held, taken=existing.lines)
    return Change(existing)


def commit(existing: Reservation | None, order_id: str) -> Change:
    """Decide on selling what is held; an expired hold is taken again."""
    if existing is None:
        raise ReservationNotFoundError(order_id)
    if existing.state is ReservationState.RELEASED:
        raise ReservationClosedError(order_id)
    sold = replace(existing, state=ReservationState.COMMITTED)
    return Change(sold, taken=() if existing.has_stock else existing.lines)


def release(existing: Reservation | None, order_id: str, now: datetime) -> Change:
    """Decide on putting stock back; an order that held nothing will never hold anything."""
    if existing is None:
        closed = Reservation(order_id=order_id, state=ReservationState.RELEASED, expires_at=now)
        return Change(closed)
    closed = replace(existing, state=ReservationState.RELEASED)
    return Change(closed, taken=returned(existing.lines) if existing.has_stock else ())


def expire(existing: Reservation | None, now: datetime) -> Change:
    """Decide on putting back on sale what was held for too long; others stay as they are."""
    if existing is None:
        raise ValueError("only what is held can expire")
    if existing.state is not ReservationState.HELD or existing.expires_at > now:
        return Change(existing)
    over = replace(existing, state=ReservationState.EXPIRED)
    return Change(over, taken=returned(existing.lines))


def merge_lines(lines: Iterable[Line]) -> list[Line]:
    """Return the lines with those of one product added up, in the order of product ids."""
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.product_id] = totals.get(line.product_id, 0) + line.quantity
    return [Line(product_id, quantity) for product_id, quantity in sorted(totals.items())]


def returned(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that undo `lines`."""
    return [Line(line.product_id, -line.quantity) for line in lines]


def revise(
    product: Product, *, title: str, description: str, category: str, price: Decimal, image_url: str
) -> Product:
    """Return the product with a new page and price; identity and stock stay."""
    return replace(
        product,
        title=title,
        description=description,
        category=category,
        price=price,
        image_url=image_url,
    )


def availability(product: Product | None, quantity: int) -> Availability:
    """Return whether a quantity of a product can be sold now."""
    if product is None:
        return Availability.UNKNOWN_PRODUCT
    return Availability.AVAILABLE if product.stock >= quantity else Availability.INSUFFICIENT


def became_low(*, before: int, after: int) -> bool:
    """Return whether a change of stock made a product nearly sold out."""
    return after <= LOW_STOCK < before


def best_promotion(category: str, running: Iterable[Promotion]) -> Promotion | None:
    """Return the promotion that takes most off a product of `category`, if any runs for it."""
    fitting = [promo for promo in running if promo.category in ("", category)]
    return max(fitting, key=lambda promo: promo.discount_percentage, default=None)
