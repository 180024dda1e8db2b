"""Places orders: everything that happens before the customer gets "201"."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from services.common.clock import NewId, new_id
from services.common.context import current
from services.common.errors import (
    MamieRosaError,
    StoreUnavailableError,
    UnprocessableError,
)
from services.orders.domain import ZERO, Order
from services.orders.errors import (
    IdempotencyKeyReusedError,
    OrderChangedError,
    OrderTooLargeError,
    OutOfStockError,
    RequestInProgressError,
    UnknownProductsError,
)
from services.orders.events import Address, Item, OrderPlaced
from services.orders.ports import (
    Attempt,
    Attempts,
    Catalog,
    Orchestrator,
    OrdersRepository,
    Promotions,
)

CURRENCY = "EUR"
MAX_TOTAL = Decimal("99999999.99")
"""What a payment can be at most."""
PARALLEL_CALLS = 16
WAITS_SECONDS = (0.05, 0.1, 0.15, 0.3, 0.4)
"""How a repeat waits, a second in all, for the request that it repeats."""
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
    computed from the customer and the key. Of any number of repeats at once, on any number of
    instances, one at a time holds the attempt and works; the rest wait for what it writes, and
    answer the same. What judges a cart is keyed too: the order's own reservation and its own use
    of a code never count against it.
    """

    def __init__(
        self,
        *,
        orders: OrdersRepository,
        attempts: Attempts,
        catalog: Catalog,
        promotions: Promotions,
        orchestrator: Orchestrator,
        hold_seconds: int,
        new_id: NewId = new_id,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._orders = orders
        self._attempts = attempts
        self._catalog = catalog
        self._promotions = promotions
        self._orchestrator = orchestrator
        self._hold_seconds = hold_seconds
        self._new_id = new_id
        self._sleep = sleep
        self._executor = ThreadPoolExecutor(PARALLEL_CALLS, "verify-stock")

    def place(self, user_id: str, cart: Cart, idempotency_key: str) -> Order:
        """Place an order and submit it to the orchestrator; return it as it was placed.

        UnknownProductsError, OutOfStockError, PromoInvalidError or OrderTooLargeError, without any
        effect; IdempotencyKeyReusedError when the key was used for another cart,
        RequestInProgressError when a request with the key takes longer than a repeat waits.
        """
        if not idempotency_key:
            return self._place(self._new_id(), user_id, cart)
        order_id = str(uuid.uuid5(ORDERS_BY_KEY, f"{user_id}\n{idempotency_key}"))
        begun = self._begin(order_id, cart)
        return begun if isinstance(begun, Order) else self._attempt(begun, user_id, cart)

    def _begin(self, order_id: str, cart: Cart) -> Attempt | Order:
        """Begin an attempt, or wait for the order that another one places."""
        for seconds in (*WAITS_SECONDS, None):
            refusal = None
            try:
                if attempt := self._attempts.begin(order_id, cart.fingerprint):
                    return attempt
            except UnprocessableError as error:
                refusal = error
            # Also before a rejection that was recorded: an order may have been written before it.
            if known := self._find(order_id, cart):
                return known
            if refusal:
                raise refusal
            if seconds is None or seconds > (current().remaining_seconds() or seconds):
                break
            self._sleep(seconds)
        raise RequestInProgressError

    def _attempt(self, attempt: Attempt, user_id: str, cart: Cart) -> Order:
        """Place the order of an attempt, unless it is there; a rejection is recorded."""
        order_id = attempt.order_id
        try:
            # Read after the attempt began: what its last holder wrote is seen.
            return self._find(order_id, cart) or self._place(order_id, user_id, cart, attempt)
        except UnprocessableError as refusal:
            is_last_word = self._attempts.refuse(attempt, refusal)
            if known := self._find(order_id, cart):
                return known
            raise (refusal if is_last_word else RequestInProgressError()) from None
        except StoreUnavailableError:  # the attempt ends by itself
            raise
        except MamieRosaError:
            with suppress(StoreUnavailableError):
                self._attempts.end(attempt)
            raise

    def _find(self, order_id: str, cart: Cart) -> Order | None:
        known = self._orders.find(order_id)
        return _require_same(known, cart) if known else None

    def _place(
        self, order_id: str, user_id: str, cart: Cart, attempt: Attempt | None = None
    ) -> Order:
        self._orchestrator.require_capacity()
        priced = self._price(cart)
        items = list(priced.values())
        discount = self._discount(order_id, user_id, cart, items)
        # First the reservation, then the order: a process that dies in between leaves a
        # reservation that expires by itself, never an order without its stock.
        expires_at = self._reserve(order_id, priced)
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
        return self._store(order_id, placed, cart, attempt)

    def _store(
        self, order_id: str, placed: OrderPlaced, cart: Cart, attempt: Attempt | None
    ) -> Order:
        try:
            order = self._orders.place(
                order_id,
                placed,
                payment_token=cart.payment_token,
                attempt=attempt,
            )
        except OrderChangedError:  # a repeat of this request has taken over
            if known := self._find(order_id, cart):
                return known
            raise RequestInProgressError from None
        self._orchestrator.submit(order, payment_token=cart.payment_token)
        return order

    def _reserve(self, order_id: str, priced: Mapping[str, Item]) -> datetime:
        """Reserve items; an OutOfStockError names them as the cart does."""
        items = list(priced.values())
        try:
            return self._catalog.reserve(order_id, items, hold_seconds=self._hold_seconds)
        except OutOfStockError as error:
            names = {item.product_id: name for name, item in priced.items()}
            available = {names.get(each, each): n for each, n in error.available.items()}
            raise OutOfStockError(available) from None

    def _price(self, cart: Cart) -> dict[str, Item]:
        """Return the cart's items at current prices; the lines are priced in parallel."""
        wanted = merge_lines(cart.lines)
        priced = merge_items(dict(zip(wanted, self._get_items(wanted), strict=True)))
        if sum((item.total for item in priced.values()), ZERO) > MAX_TOTAL:
            raise OrderTooLargeError(MAX_TOTAL)
        return priced

    def _get_items(self, wanted: Mapping[str, int]) -> Sequence[Item | None]:
        """Ask for all items at once: the last one on this thread, the rest on threads beside it."""
        *rest, last = wanted.items()
        # Each call runs in a copy of this call's context, for its deadline and request id.
        calls = [
            self._executor.submit(copy_context().run, self._catalog.get_item, product, quantity)
            for product, quantity in rest
        ]
        here = self._catalog.get_item(*last)
        return [*(call.result() for call in calls), here]

    def _discount(self, order_id: str, user_id: str, cart: Cart, items: Sequence[Item]) -> Decimal:
        if not cart.promo_code:
            return ZERO
        return self._promotions.get_discount(order_id, cart.promo_code, user_id, items)


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


def merge_items(found: Mapping[str, Item | None]) -> dict[str, Item]:
    """Return each product's item by the name that the cart has for it, an id or a sku.

    A product that the cart names in both ways is one item. UnknownProductsError.
    """
    if unknown := [name for name, item in found.items() if item is None]:
        raise UnknownProductsError(unknown)
    names: dict[str, str] = {}
    priced: dict[str, Item] = {}
    for name, item in found.items():
        assert item is not None
        first = names.setdefault(item.product_id, name)
        before = priced[first].quantity if first in priced else 0
        priced[first] = replace(priced.get(first, item), quantity=before + item.quantity)
    return priced
