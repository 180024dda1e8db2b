"""Orders in memory, and the services that they need as obedient doubles."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.common.errors import StoreUnavailableError
from services.orders.clients import Captured, Declined, Offer, RefusedError, ServiceUnavailableError
from services.orders.domain import (
    Address,
    Event,
    Item,
    Order,
    OrderChangedError,
    OrderNotFoundError,
    OrderPlaced,
    OutOfStockError,
    PromoInvalidError,
    Recorded,
    Step,
    fold,
    next_step,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADDRESS = Address(
    recipient="Rosa",
    line1="1 rue des Lilas",
    line2="",
    postal_code="75011",
    city="Paris",
    country="FR",
)
KIBBLE = Item(
    product_id="00000000-0000-4000-8000-000000000001",
    sku="sku_001",
    title="Kibble",
    category="dog-food",
    quantity=2,
    unit_price=Decimal("12.90"),
)


def build_placed(**changes) -> OrderPlaced:
    """Return an order's first event, changed as told."""
    placed = OrderPlaced(
        user_id="alice",
        items=(KIBBLE,),
        discount=Decimal("2.58"),
        currency="EUR",
        promo_code="WELCOME10",
        address=ADDRESS,
        hold_expires_at=NOW + timedelta(minutes=15),
        fingerprint="f",
    )
    return replace(placed, **changes)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by) -> None:
        self.now += timedelta(**by)


class InMemoryOrdersRepository:
    """Histories and sagas in dictionaries; keeps both promises of the store's repository."""

    def __init__(self, clock: Callable[[], datetime] = lambda: NOW) -> None:
        self._clock = clock
        self._histories: dict[str, list[Recorded]] = {}
        self._due: dict[str, datetime | None] = {}
        self._tokens: dict[str, str] = {}
        self.begun: list[Step] = []

    def find(self, order_id: str) -> Order | None:
        history = self.history(order_id)
        return fold(order_id, history) if history else None

    def load(self, order_id: str) -> Order:
        if order := self.find(order_id):
            return order
        raise OrderNotFoundError(order_id)

    def history(self, order_id: str) -> Sequence[Recorded]:
        return list(self._histories.get(order_id, []))

    def list_of(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        mine = [order for order in map(self.load, self._histories) if order.user_id == user_id]
        mine.sort(key=lambda order: order.order_id)
        mine.sort(key=lambda order: order.created_at, reverse=True)
        return mine[(page - 1) * limit : page * limit], len(mine)

    def with_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        return [
            order
            for order in map(self.load, self._histories)
            if order.user_id == user_id
            and product_id in {item.product_id for item in order.placed.items}
        ]

    def place(
        self, order_id: str, placed: OrderPlaced, *, payment_token: str, due_at: datetime
    ) -> Order:
        if order_id in self._histories:
            raise OrderChangedError(order_id)
        self._histories[order_id] = [Recorded(sequence=1, time=self._clock(), event=placed)]
        self._due[order_id], self._tokens[order_id] = due_at, payment_token
        return self.load(order_id)

    def append(self, order: Order, events: Sequence[Event], *, due_at: datetime) -> Order:
        history = self._histories[order.order_id]
        if len(history) != order.sequence:
            raise OrderChangedError(order.order_id)
        for event in events:
            history.append(Recorded(sequence=len(history) + 1, time=self._clock(), event=event))
        after = self.load(order.order_id)
        at_rest = next_step(after, self._clock()) is None
        self._due[order.order_id] = None if at_rest else due_at
        if at_rest:
            self._tokens[order.order_id] = ""
        return after

    def begin_step(self, order_id: str, step: Step, *, by: str, now: datetime) -> None:
        self.begun.append(step)

    def payment_token(self, order_id: str) -> str:
        return self._tokens.get(order_id, "")

    def postpone(self, order_id: str, *, due_at: datetime, why: str) -> None:
        self._due[order_id] = due_at

    def extend(self, order_ids: Sequence[str], *, due_at: datetime) -> None:
        for order_id in order_ids:
            if self._due.get(order_id) is not None:
                self._due[order_id] = due_at

    def claim_due(self, *, now: datetime, due_at: datetime) -> str | None:
        waiting = {order_id: due for order_id, due in self._due.items() if due and due <= now}
        if not waiting:
            return None
        first = min(waiting, key=lambda order_id: waiting[order_id])
        self._due[first] = due_at
        return first

    def ping(self) -> None:
        pass


class InMemoryFeedRepository:
    """The histories of an orders repository; `tell` says that one has grown.

    `is_away` makes it fail; `reads` are the orders that were asked for.
    """

    def __init__(self, orders: InMemoryOrdersRepository) -> None:
        self._orders = orders
        self._listening: asyncio.Queue[str] | None = None
        self.is_away = False
        self.is_closed = False
        self.reads: list[str] = []

    @property
    def is_listened_to(self) -> bool:
        return self._listening is not None

    async def history(self, order_id: str, *, after: int = 0) -> Sequence[Recorded]:
        self.reads.append(order_id)
        if self.is_away:
            raise StoreUnavailableError
        return self._orders.history(order_id)[after:]

    @asynccontextmanager
    async def added(self) -> AsyncIterator[AsyncIterator[str]]:
        self._listening = asyncio.Queue()
        try:
            yield self._order_ids(self._listening)
        finally:
            self._listening = None

    async def _order_ids(self, added: asyncio.Queue[str]) -> AsyncIterator[str]:
        while order_id := await added.get():
            yield order_id
        raise StoreUnavailableError

    async def close(self) -> None:
        self.is_closed = True

    def append(self, order_id: str, *events: Event) -> None:
        """Add events to an order, and tell so to who listens."""
        self._orders.append(self._orders.load(order_id), events, due_at=NOW)
        if self._listening:
            for _ in events:
                self._listening.put_nowait(order_id)

    def place(self, order_id: str, placed: OrderPlaced) -> None:
        """Keep one more order."""
        self._orders.place(order_id, placed, payment_token="t", due_at=NOW)

    def deafen(self) -> None:
        """Tell nothing any more, and do not say so."""
        self._listening = asyncio.Queue()

    def interrupt(self) -> None:
        """Stop telling what is added, until somebody listens again."""
        if self._listening:
            self._listening.put_nowait("")
            self._listening = None


class FakeShop:
    """Catalog, promotions and payments in one: does what the test says, remembers what was asked.

    `away` names the calls that find nobody; `refuses` maps calls to the reason of a refusal.
    """

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.calls: list[str] = []
        self.declines = ""
        self.on_sale = 10
        self.refund = Decimal("0.00")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.away:
            raise ServiceUnavailableError(name)
        if reason := self.refuses.get(name):
            raise RefusedError(reason)


class FakeCatalog(FakeShop):
    """A catalog that sells one product."""

    def offer(self, product: str, quantity: int) -> Offer | None:
        self._called("offer")
        if product not in (KIBBLE.sku, KIBBLE.product_id):
            return None
        return Offer(replace(KIBBLE, quantity=quantity), self.on_sale)

    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> None:
        self._called("reserve")
        if items[0].quantity > self.on_sale:
            raise OutOfStockError([items[0].sku], [self.on_sale])

    def commit(self, order_id: str) -> None:
        self._called("commit")

    def release(self, order_id: str) -> None:
        self._called("release")


class FakePromotions(FakeShop):
    """Promotions with one code, which takes ten percent off."""

    def discount(self, promo_code: str, user_id: str, items: Sequence[Item]) -> Decimal:
        self._called("discount")
        if promo_code != "WELCOME10":
            raise PromoInvalidError(promo_code, "CODE_UNKNOWN")
        return sum((item.total for item in items), Decimal(0)) / 10

    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        self._called("redeem")

    def release(self, order_id: str, promo_code: str) -> None:
        self._called("release")


class FakePayments(FakeShop):
    """Payments that are captured, unless `declines` has a reason."""

    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        self._called("capture")
        return Declined(self.declines) if self.declines else Captured("payment")

    def settle(self, order_id: str, reason: str) -> Decimal:
        self._called("settle")
        return self.refund
