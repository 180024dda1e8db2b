"""Placing an order: everything that happens before the client hears "201"."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from services.common.clock import Clock, NewId, new_id, utc_now
from services.orders.clients import Catalog, Offer, Promotions
from services.orders.domain import (
    NOTHING,
    Address,
    IdempotencyKeyReusedError,
    Item,
    Order,
    OrderChangedError,
    OrderPlaced,
    OutOfStockError,
    UnknownProductsError,
)
from services.orders.repository import OrdersRepository

CURRENCY = "EUR"
PARALLEL_CALLS = 16
ORDERS_BY_KEY = uuid.UUID("6f1d3a52-6c1b-4f0e-9d53-0c8f2f6f1b7e")
"""Namespace of the ids of orders that were placed with an Idempotency-Key."""


@dataclass(frozen=True, kw_only=True)
class Cart:
    """What a client asks for: (product id or sku, quantity) pairs, and where to send it."""

    lines: Sequence[tuple[str, int]]
    promo_code: str
    address: Address
    payment_token: str

    @property
    def fingerprint(self) -> str:
        """Return what tells this request from another one with the same key."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Starter(Protocol):
    """Carries a new order on from where it was placed."""

    def begin(self, order_id: str, placed: OrderPlaced, *, payment_token: str) -> Order:
        """Keep a new order and drive it in the background; OrderChangedError if known."""


class Checkout:
    """Turns carts into orders.

    The Idempotency-Key *is* the order's identity: the id of an order that comes with one
    is computed from the client and the key. So however many repeats run at once, on
    however many instances, they hold the same stock, and only one of them can write the
    first event; the others answer what it wrote.
    """

    def __init__(
        self,
        *,
        repository: OrdersRepository,
        catalog: Catalog,
        promotions: Promotions,
        saga: Starter,
        hold_seconds: int,
        clock: Clock = utc_now,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._catalog = catalog
        self._promotions = promotions
        self._saga = saga
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._new_id = new_id
        self._calls = ThreadPoolExecutor(PARALLEL_CALLS, "verify-stock")

    def place(self, user_id: str, cart: Cart, idempotency_key: str) -> Order:
        """Place an order and start its saga; return it as it was placed.

        Raises UnknownProductsError, OutOfStockError or PromoInvalidError and leaves nothing
        behind; IdempotencyKeyReusedError when the key was used for another cart.
        """
        order_id = self._identify(user_id, idempotency_key)
        known = self._repository.find(order_id) if idempotency_key else None
        return self._as_placed(known, cart) if known else self._place(order_id, user_id, cart)

    def _place(self, order_id: str, user_id: str, cart: Cart) -> Order:
        items = self._price(cart)
        discount = self._discount(user_id, cart, items)
        # First the hold, then the order: a process that dies in between leaves a hold that
        # expires by itself, never an order without its stock.
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
        try:
            return self._saga.begin(order_id, placed, payment_token=cart.payment_token)
        except OrderChangedError:  # a repeat of this request was faster
            return self._as_placed(self._repository.load(order_id), cart)

    def _identify(self, user_id: str, idempotency_key: str) -> str:
        if not idempotency_key:
            return self._new_id()
        return str(uuid.uuid5(ORDERS_BY_KEY, f"{user_id}\n{idempotency_key}"))

    def _as_placed(self, order: Order, cart: Cart) -> Order:
        """Return an order that a repeat found, if it is what the repeat asks for."""
        if order.placed.fingerprint != cart.fingerprint:
            raise IdempotencyKeyReusedError
        return order

    def _price(self, cart: Cart) -> list[Item]:
        """Return the cart's items at today's prices; every line is verified in parallel."""
        wanted = merge_lines(cart.lines)
        # Each call runs in a copy of this call's context, for its deadline and request id.
        asked = [
            self._calls.submit(copy_context().run, self._catalog.offer, product, quantity)
            for product, quantity in wanted.items()
        ]
        offers = dict(zip(wanted, (future.result() for future in asked), strict=True))
        return priced(offers)

    def _discount(self, user_id: str, cart: Cart, items: Sequence[Item]) -> Decimal:
        if not cart.promo_code:
            return NOTHING
        return self._promotions.discount(cart.promo_code, user_id, items)


def merge_lines(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return how many of each product are wanted, in the order they were named."""
    wanted: dict[str, int] = {}
    for product, quantity in lines:
        wanted[product] = wanted.get(product, 0) + quantity
    return wanted


def priced(offers: dict[str, Offer | None]) -> list[Item]:
    """Return the items of offers that can all be met.

    UnknownProductsError or OutOfStockError, naming the products as the client named them.
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
