"""The catalog's domain: products, ratings, stock reservations, and the rules of each.

A product's stock is the number of units on sale; reserved units are off sale. An order's
reservation is HELD until it is committed, released, or past its expiry time:

    HELD ----> COMMITTED ----> RELEASED
     | \\---------------------> RELEASED
     v                            ^
    EXPIRED ----------------------+
     (a late commit reserves the units again, if they are still on sale)
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

LOW_STOCK_THRESHOLD = 5
"""Stock is low at this number of units or fewer."""

MAX_STOCK = 1_000_000_000
"""How many units an adjustment may put on sale; what comes back on sale fits into an int32 too."""


class ProductNotFoundError(NotFoundError):
    """There is no such product."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, *names: str) -> None:
        super().__init__(f"There is no product {', '.join(names)}.", productIds=",".join(names))


class SkuExistsError(AlreadyExistsError):
    """The sku belongs to another product."""

    reason = "SKU_EXISTS"

    def __init__(self, sku: str) -> None:
        super().__init__(f"The sku {sku} belongs to another product.", sku=sku)


class StockBelowZeroError(FailedPreconditionError):
    """An adjustment would make the stock negative."""

    reason = "STOCK_BELOW_ZERO"

    def __init__(self, *, on_sale: int) -> None:
        super().__init__(f"Only {on_sale} are on sale.", availableQuantity=str(on_sale))


class StockAboveMaximumError(FailedPreconditionError):
    """An adjustment would make the stock larger than MAX_STOCK."""

    reason = "STOCK_ABOVE_MAXIMUM"

    def __init__(self) -> None:
        super().__init__(f"At most {MAX_STOCK} can be on sale.", maximumQuantity=str(MAX_STOCK))


class OutOfStockError(UnprocessableError):
    """Too few units are on sale; `short` maps all short products to the units on sale."""

    reason = "OUT_OF_STOCK"

    def __init__(self, short: Mapping[str, int]) -> None:
        super().__init__(
            f"Not enough is on sale of {len(short)} of the products.",
            productIds=",".join(short),
            availableQuantities=",".join(map(str, short.values())),
        )


class ReservationNotFoundError(NotFoundError):
    """The order never reserved stock."""

    reason = "RESERVATION_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} holds no stock.", orderId=order_id)


class ReservationClosedError(FailedPreconditionError):
    """The order's reservation was released, which is final."""

    reason = "RESERVATION_CLOSED"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The stock of order {order_id} was released.", orderId=order_id)


class ReservationMismatchError(AlreadyExistsError):
    """The order has a reservation of other lines."""

    reason = "RESERVATION_MISMATCH"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"The order {order_id} holds other products.", orderId=order_id)


class NotBoughtError(PermissionDeniedError):
    """Only customers who bought a product may rate it."""

    reason = "NOT_BOUGHT"

    def __init__(self, product_id: str) -> None:
        super().__init__("Only those who have bought it may rate it.", productId=product_id)


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product. `price` has two decimals; `stock` is the number of units on sale.

    `rating_average` is the mean number of stars with two decimals, 0 without ratings.
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
    """A customer's rating of a product; `created_at` is when they first rated it."""

    product_id: str
    user_id: str
    stars: int
    comment: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """An active promotion; an empty `category` means all products."""

    code: str
    discount_percentage: int
    category: str = ""


@dataclass(frozen=True)
class Line:
    """A quantity of one product."""

    product_id: str
    quantity: int


class Availability(StrEnum):
    """Whether a quantity of a product is on sale."""

    AVAILABLE = "AVAILABLE"
    INSUFFICIENT = "INSUFFICIENT"
    UNKNOWN_PRODUCT = "UNKNOWN_PRODUCT"


class ReservationState(StrEnum):
    """The states of a reservation; the module's docstring draws the transitions."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The stock reserved for one order."""

    order_id: str
    state: ReservationState
    expires_at: datetime
    lines: Sequence[Line] = ()

    @property
    def is_off_sale(self) -> bool:
        """Return whether its units are off sale."""
        return self.state in (ReservationState.HELD, ReservationState.COMMITTED)


@dataclass(frozen=True)
class ReservationChange:
    """A decision: the new reservation and the units to take off sale.

    A negative quantity in `taken` goes back on sale.
    """

    reservation: Reservation
    taken: Sequence[Line] = ()


def reserve(existing: Reservation | None, wanted: Reservation) -> ReservationChange:
    """Reserve stock. A repeat changes nothing; an expired reservation is made again."""
    if existing is None:
        return ReservationChange(wanted, taken=wanted.lines)
    if existing.state is ReservationState.RELEASED:
        raise ReservationClosedError(existing.order_id)
    if existing.lines != wanted.lines:
        raise ReservationMismatchError(existing.order_id)
    if existing.state is ReservationState.EXPIRED:
        held = replace(existing, state=ReservationState.HELD, expires_at=wanted.expires_at)
        return ReservationChange(held, taken=existing.lines)
    return ReservationChange(existing)


def commit(existing: Reservation | None, order_id: str) -> ReservationChange:
    """Commit a reservation: its units are sold. An expired one takes its units again."""
    if existing is None:
        raise ReservationNotFoundError(order_id)
    if existing.state is ReservationState.RELEASED:
        raise ReservationClosedError(order_id)
    committed = replace(existing, state=ReservationState.COMMITTED)
    return ReservationChange(committed, taken=() if existing.is_off_sale else existing.lines)


def release(existing: Reservation | None, order_id: str, now: datetime) -> ReservationChange:
    """Release a reservation: its units go back on sale.

    An order without one gets a RELEASED reservation, so that it cannot reserve later.
    """
    if existing is None:
        state = ReservationState.RELEASED
        return ReservationChange(Reservation(order_id=order_id, state=state, expires_at=now))
    released = replace(existing, state=ReservationState.RELEASED)
    return ReservationChange(released, taken=negate(existing.lines) if existing.is_off_sale else ())


def expire(existing: Reservation | None, now: datetime) -> ReservationChange:
    """Put the units of an overdue reservation back on sale; any other reservation is unchanged."""
    if existing is None:
        raise ValueError("there is no reservation to expire")
    if existing.state is not ReservationState.HELD or existing.expires_at > now:
        return ReservationChange(existing)
    expired = replace(existing, state=ReservationState.EXPIRED)
    return ReservationChange(expired, taken=negate(existing.lines))


def merge_lines(lines: Iterable[Line]) -> list[Line]:
    """Sum the quantities of each product; the result is sorted by product id."""
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.product_id] = totals.get(line.product_id, 0) + line.quantity
    return [Line(product_id, quantity) for product_id, quantity in sorted(totals.items())]


def negate(lines: Iterable[Line]) -> list[Line]:
    """Negate the quantity of each line."""
    return [Line(line.product_id, -line.quantity) for line in lines]


def update_details(
    product: Product, *, title: str, description: str, category: str, price: Decimal, image_url: str
) -> Product:
    """Replace what an administrator may edit; identity, stock and ratings do not change."""
    return replace(
        product,
        title=title,
        description=description,
        category=category,
        price=price,
        image_url=image_url,
    )


def availability(product: Product | None, quantity: int) -> Availability:
    """Return whether a quantity of a product is on sale; None is an unknown product."""
    if product is None:
        return Availability.UNKNOWN_PRODUCT
    return Availability.AVAILABLE if product.stock >= quantity else Availability.INSUFFICIENT


def crosses_low_stock(*, before: int, after: int) -> bool:
    """Return whether a change of stock crosses the low-stock threshold downwards."""
    return after <= LOW_STOCK_THRESHOLD < before


def best_promotion(category: str, active: Iterable[Promotion]) -> Promotion | None:
    """Return the active promotion with the largest discount in a category, if any."""
    applicable = [promotion for promotion in active if promotion.category in ("", category)]
    return max(applicable, key=lambda promotion: promotion.discount_percentage, default=None)
