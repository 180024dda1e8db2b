"""In-memory implementations of the ports of orders, and orders to use them with."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from typing_extensions import override

from services.common.context import current
from services.orders.domain import Order, Step, fold, next_step, record
from services.orders.errors import (
    OrderChangedError,
    OrderNotFoundError,
    OverloadedError,
)
from services.orders.events import Address, Event, Item, OrderPlaced, RecordedEvent
from services.orders.placing.tests.fakes import InMemoryAttempts
from services.orders.ports import (
    LEASE_DURATION,
    Attempt,
    Orchestrator,
    OrdersRepository,
    SagaRepository,
    StepBegun,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOLD_ENDS = NOW + timedelta(seconds=890)
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
    """Build the first event of an order, with some fields changed."""
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


class InMemorySagaRepository(SagaRepository):
    """Leases and tokens in dictionaries; `steps` are those that were recorded."""

    def __init__(self, clock: Callable[[], datetime] = lambda: NOW) -> None:
        self._clock = clock
        self.steps: list[Step] = []
        self.token_reads = 0
        self._due: dict[str, datetime | None] = {}
        self._tokens: dict[str, str] = {}
        self._traces: dict[str, str] = {}

    @override
    def record_step(self, order_id: str, begun: StepBegun, *, now: datetime) -> None:
        self.steps.append(begun.step)

    @override
    def payment_token(self, order_id: str) -> str:
        self.token_reads += 1
        return self._tokens.get(order_id, "")

    @override
    def traceparent(self, order_id: str) -> str:
        return self._traces.get(order_id, "")

    @override
    def postpone(self, order_id: str, *, delay: timedelta, cause: str) -> None:
        self.extend_leases([order_id], lease=delay)

    @override
    def extend_leases(self, order_ids: Sequence[str], *, lease: timedelta = LEASE_DURATION) -> None:
        for order_id in order_ids:
            if self._due.get(order_id) is not None:
                self._due[order_id] = self._clock() + lease

    @override
    def claim_due(self, *, lease: timedelta = LEASE_DURATION) -> str | None:
        now = self._clock()
        waiting = {order_id: due for order_id, due in self._due.items() if due and due <= now}
        if not waiting:
            return None
        first = min(waiting, key=lambda order_id: waiting[order_id])
        self._due[first] = now + lease
        return first

    def start(self, order_id: str, *, payment_token: str, lease: timedelta) -> None:
        self._due[order_id], self._tokens[order_id] = self._clock() + lease, payment_token
        self._traces[order_id] = current().traceparent or ""

    def update(self, order_id: str, *, lease: timedelta | None) -> None:
        self._due[order_id] = None if lease is None else self._clock() + lease
        if lease is None:
            self._tokens[order_id] = ""


class InMemoryOrdersRepository(OrdersRepository):
    """Histories in a dictionary; `loads` are the ids of the orders that were read."""

    def __init__(self, clock: Callable[[], datetime] = lambda: NOW) -> None:
        self.sagas = InMemorySagaRepository(clock)
        self.attempts = InMemoryAttempts()
        self.loads: list[str] = []
        self._clock = clock
        self._histories: dict[str, list[RecordedEvent]] = {}

    @override
    def find(self, order_id: str) -> Order | None:
        history = self.history(order_id)
        return fold(order_id, history) if history else None

    @override
    def load(self, order_id: str) -> Order:
        if order := self.find(order_id):
            return order
        raise OrderNotFoundError(order_id)

    @override
    def history(self, order_id: str) -> Sequence[RecordedEvent]:
        self.loads.append(order_id)
        return list(self._histories.get(order_id, []))

    @override
    def list_by_user(self, user_id: str, *, page: int, limit: int) -> tuple[Sequence[Order], int]:
        mine = [order for order in map(self.load, self._histories) if order.user_id == user_id]
        mine.sort(key=lambda order: order.order_id)
        mine.sort(key=lambda order: order.created_at, reverse=True)
        return mine[(page - 1) * limit : page * limit], len(mine)

    @override
    def list_by_product(self, user_id: str, product_id: str) -> Sequence[Order]:
        return [
            order
            for order in map(self.load, self._histories)
            if order.user_id == user_id
            and product_id in {item.product_id for item in order.placed.items}
        ]

    @override
    def place(
        self,
        order_id: str,
        placed: OrderPlaced,
        *,
        payment_token: str,
        lease: timedelta = LEASE_DURATION,
        attempt: Attempt | None = None,
    ) -> Order:
        if order_id in self._histories or (attempt and not self.attempts.holds(attempt)):
            raise OrderChangedError(order_id)
        if attempt:
            self.attempts.end(attempt)
        self._histories[order_id] = [RecordedEvent(sequence=1, time=self._clock(), event=placed)]
        self.sagas.start(order_id, payment_token=payment_token, lease=lease)
        return fold(order_id, self._histories[order_id])

    @override
    def append(
        self,
        order: Order,
        events: Sequence[Event],
        *,
        lease: timedelta = LEASE_DURATION,
        begins: StepBegun | None = None,
    ) -> Order:
        history = self._histories[order.order_id]
        if len(history) != order.sequence:
            raise OrderChangedError(order.order_id)
        now = self._clock()
        history.extend(record(order, events, now))
        if begins:
            self.sagas.steps.append(begins.step)
        after = fold(order.order_id, history)
        is_complete = next_step(after, now) is None
        self.sagas.update(order.order_id, lease=None if is_complete else lease)
        return after


class RecordingOrchestrator(Orchestrator):
    """Drives nothing; `submitted` are the orders that it was given."""

    def __init__(self) -> None:
        self.submitted: list[Order] = []
        self.is_overloaded = False

    @override
    def require_capacity(self) -> None:
        if self.is_overloaded:
            raise OverloadedError

    @override
    def submit(self, order: Order, *, payment_token: str | None = None) -> None:
        self.submitted.append(order)

    @override
    def drive(self, order: Order) -> Order:
        return order
