"""Places orders: everything that happens before the customer gets "201"."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal

from services.common.clock import Clock, NewId, new_id, utc_now
from services.orders.domain import ZERO, Order
from services.orders.errors import (
    IdempotencyKeyReusedError,
    OrderChangedError,
    OutOfStockError,
    UnknownProductsError,
)
from services.orders.events import Address, Item, OrderPlaced
from services.orders.ports import (
    LEASE_DURATION,
    Catalog,
    Offer,
    Orchestrator,
    OrdersRepository,
    Promotions,
)

CURRENCY = "EUR"
PARALLEL_CALLS = 16
ORDERS_BY_KEY = uuid.UUID("6f1d3a52-6c1b-4f0e-9d53-0c8f2f6f1b7e")
"""UUID namespace of the orders that are placed with an Idempotency-Key."""


@dataclass(frozen=True, kw_only=True)
class Cart:
    """A customer's request: (product id or sku, quantity) pairs, and where to send them."""

    lines: Sequence[tuple[str, int]]
    promo_code: str
    address: Address
    payment_token: str

    @property
    def fingerprint(self) -> str:
        """Return a hash that differs between carts sent with the same key."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Checkout:
    """Turns carts into orders.

    The Idempotency-Key *is* the order's identity: the id of an order that comes with one is
    computed from the customer and the key. So any number of repeats at once, on any number of
    instances, reserve the same stock, and only one of them can write the first event; the
    rest answer what it wrote.
    """

    def __init__(
        self,
        *,
        orders: OrdersRepository,
        catalog: Catalog,
        promotions: Promotions,
        orchestrator: Orchestrator,
        hold_seconds: int,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._orders = orders
        self._catalog = catalog
        self._promotions = promotions
        self._orchestrator = orchestrator
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._new_id = new_id
        self._executor = ThreadPoolExecutor(PARALLEL_CALLS, "verify-stock")

    def place(self, user_id: str, cart: Cart, idempotency_key: str) -> Order:
        """Place an order and submit it to the orchestrator; return it as it was placed.

        UnknownProductsError, OutOfStockError or PromoInvalidError, without any effect;
        IdempotencyKeyReusedError when the key was used for another cart.
        """
        order_id = self._identify(user_id, idempotency_key)
        known = self._orders.find(order_id) if idempotency_key else None
        return _require_same(known, cart) if known else self._place(order_id, user_id, cart)

    def _place(self, order_id: str, user_id: str, cart: Cart) -> Order:
        items = self._price(cart)
        discount = self._discount(user_id, cart, items)
        # First the reservation, then the order: a process that dies in between leaves a
        # reservation that expires by itself, never an order without its stock.
        expires_at = self._clock() + timedelta(seconds=self._hold_seconds)
        self._catalog.reserve(order_id, items, hold_seconds=self._hold_seconds)
        placed = OrderPlaced(
            user_id=user_id,
            items=tuple(items),
            discount=discount,
            currency=CURRENCY,
            promo_code=cart.promo_code,
            address=cart.address,
            hold_expires_at=expires_at,
            fingerprint=cart.fingerprint,
        )
        return self._store(order_id, placed, cart)

    def _store(self, order_id: str, placed: OrderPlaced, cart: Cart) -> Order:
        due_at = self._clock() + LEASE_DURATION
        try:
            order = self._orders.place(
                order_id, placed, payment_token=cart.payment_token, due_at=due_at
            )
        except OrderChangedError:  # a repeat of this request was faster
            return _require_same(self._orders.load(order_id), cart)
        self._orchestrator.submit(order)
        return order

    def _identify(self, user_id: str, idempotency_key: str) -> str:
        if not idempotency_key:
            return self._new_id()
        return str(uuid.uuid5(ORDERS_BY_KEY, f"{user_id}\n{idempotency_key}"))

    def _price(self, cart: Cart) -> list[Item]:
        """Return the cart's items at current prices; the lines are verified in parallel."""
        wanted = merge_lines(cart.lines)
        # Each call runs in a copy of this call's context, for its deadline and request id.
        calls = [
            self._executor.submit(copy_context().run, self._catalog.get_offer, product, quantity)
            for product, quantity in wanted.items()
        ]
        offers = dict(zip(wanted, (future.result() for future in calls), strict=True))
        return to_items(offers)

    def _discount(self, user_id: str, cart: Cart, items: Sequence[Item]) -> Decimal:
        if not cart.promo_code:
            return ZERO
        return self._promotions.get_discount(cart.promo_code, user_id, items)


def _require_same(order: Order, cart: Cart) -> Order:
    """Return an order that a repeated request found; IdempotencyKeyReusedError if it differs."""
    if order.placed.fingerprint != cart.fingerprint:
        raise IdempotencyKeyReusedError
    return order


def merge_lines(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Add up the quantities of each product, in the order in which the cart names them."""
    wanted: dict[str, int] = {}
    for product, quantity in lines:
        wanted[product] = wanted.get(product, 0) + quantity
    return wanted


def to_items(offers: dict[str, Offer | None]) -> list[Item]:
    """Return the items of offers, if all are in stock.

    UnknownProductsError or OutOfStockError, naming the products as the cart does.
    """
    if unknown := [product for product, offer in offers.items() if offer is None]:
        raise UnknownProductsError(unknown)
    found = {product: offer for product, offer in offers.items() if offer is not None}
    short = {
        product: offer.available_quantity
        for product, offer in found.items()
        if offer.available_quantity < offer.item.quantity
    }
    if short:
        raise OutOfStockError(list(short), list(short.values()))
    return [offer.item for offer in found.values()]
