"""Scenarios of discrepancies between the stores, each injected into real ones."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.catalog.schema import reservations
from services.common.clock import utc_now
from services.orders.domain import Order
from services.orders.events import Item, OrderPlaced
from services.orders.reconciliation.domain import Kind
from services.payments.repository import payments
from tests.integration.order_shop import ADDRESS, ALICE, PRODUCTS, OrderShop

LONG_AGO = timedelta(minutes=20)
KIBBLE = Item(
    product_id=PRODUCTS[0],
    sku="prod_001",
    title="Kibble 1",
    category="dog-food",
    quantity=1,
    unit_price=Decimal("12.90"),
)
Injection = Callable[[OrderShop, str], object]
"""Changes the records of an order."""


@dataclass(frozen=True)
class Expected:
    """A finding that a reconciliation must have."""

    order_id: str
    kind: Kind
    is_repaired: bool


@dataclass(frozen=True)
class Scenario:
    """A discrepancy to inject. `needs` is the state of the order: purchased, cancelled, None for
    an order id without an order."""

    inject: Injection
    kind: Kind
    is_repaired: bool
    needs: str | None
    has_promo: bool | None = None

    def fits(self, order: Order) -> bool:
        """Return whether the discrepancy can be injected into an order."""
        state = "purchased" if order.is_purchased else "cancelled"
        has_promo = bool(order.placed.promo_code)
        return self.needs == state and self.has_promo in (None, has_promo)


def inject_all(
    shop: OrderShop, scenarios: Sequence[Scenario], candidates: list[Order]
) -> Iterator[Expected]:
    """Inject every scenario, each into an order of its own."""
    for scenario in scenarios:
        if scenario.needs is None:
            order_id = str(uuid.uuid4())
            scenario.inject(shop, order_id)
        else:
            order = next(each for each in candidates if scenario.fits(each))
            candidates.remove(order)
            order_id = order.order_id
            scenario.inject(shop, order_id)
        yield Expected(order_id, scenario.kind, scenario.is_repaired)


def _payment(**values: Any) -> Injection:
    def change(shop: OrderShop, order_id: str) -> None:
        with shop.payments_engine.begin() as connection:
            one = sa.update(payments).where(payments.c.order_id == order_id)
            connection.execute(one.values(values))

    return change


def _reservation(**values: Any) -> Injection:
    def change(shop: OrderShop, order_id: str) -> None:
        with shop.catalog_engine.begin() as connection:
            one = sa.update(reservations).where(reservations.c.order_id == order_id)
            connection.execute(one.values(values))

    return change


def _redemption(**values: Any) -> Injection:
    fields: dict[Any, Any] = values
    return lambda shop, order_id: shop.redis.hset(f"promotions:order:{order_id}", mapping=fields)


def _saga(**values: Any) -> Injection:
    def change(shop: OrderShop, order_id: str) -> None:
        shop.database.sagas.update_one({"_id": order_id}, {"$set": values})

    return change


def _delete(collection: str, **which: Any) -> Injection:
    key = "order_id" if collection == "events" else "_id"
    return lambda shop, order_id: shop.database[collection].delete_many({key: order_id} | which)


def _delete_payment(shop: OrderShop, order_id: str) -> None:
    with shop.payments_engine.begin() as connection:
        connection.execute(sa.delete(payments).where(payments.c.order_id == order_id))


def _delete_reservation(shop: OrderShop, order_id: str) -> None:
    with shop.catalog_engine.begin() as connection:
        connection.execute(sa.delete(reservations).where(reservations.c.order_id == order_id))


def _delete_redemption(shop: OrderShop, order_id: str) -> None:
    shop.redis.delete(f"promotions:order:{order_id}")
    shop.redis.zrem("promotions:by-order", order_id)


def _capture_without_order(shop: OrderShop, order_id: str) -> None:
    shop.payments_client.capture(order_id, ALICE, Decimal("12.90"), "EUR", "tok_ok")


def _reserve_without_order(shop: OrderShop, order_id: str) -> None:
    shop.catalog_client.reserve(order_id, [KIBBLE], hold_seconds=900)
    _reservation(expires_at=utc_now() - LONG_AGO)(shop, order_id)


def _commit_without_order(shop: OrderShop, order_id: str) -> None:
    shop.catalog_client.reserve(order_id, [KIBBLE], hold_seconds=900)
    shop.catalog_client.commit(order_id)


def _redeem(shop: OrderShop, order_id: str) -> None:
    shop.promotions_client.redeem(order_id, "TEN", ALICE)


def _place_undriven(hold: timedelta) -> Injection:
    """Place an order that no orchestrator drives, whose stock is reserved for a while."""

    def place(shop: OrderShop, order_id: str) -> None:
        placed = OrderPlaced(
            user_id=ALICE,
            items=(KIBBLE,),
            discount=Decimal("0.00"),
            currency="EUR",
            promo_code="",
            address=ADDRESS,
            hold_expires_at=utc_now() + hold,
            fingerprint="f",
        )
        shop.catalog_client.reserve(order_id, [KIBBLE], hold_seconds=900)
        shop.orders.place(order_id, placed, payment_token="tok_ok", lease=timedelta(days=1))

    return place


def _both(first: Injection, second: Injection) -> Injection:
    return lambda shop, order_id: (first(shop, order_id), second(shop, order_id))


def _age_events(shop: OrderShop, order_id: str) -> None:
    change = {"$set": {"time": utc_now() - LONG_AGO}}
    shop.database.events.update_many({"order_id": order_id}, change)


UNPAID = _payment(status="CAPTURED", refunded_amount=0, close_reason="")
OTHER_LINES = [{"product_id": PRODUCTS[4], "quantity": 99}]
SOON, HELD = timedelta(seconds=1), timedelta(minutes=10)

SCENARIOS = (
    Scenario(_delete_payment, Kind.ORDER_NOT_PAID, False, "purchased"),
    Scenario(_payment(amount=1), Kind.PAYMENT_DIFFERS, False, "purchased"),
    Scenario(UNPAID, Kind.PAYMENT_NOT_RETURNED, True, "cancelled"),
    Scenario(_capture_without_order, Kind.PAYMENT_WITHOUT_ORDER, True, None),
    Scenario(_reservation(state="HELD"), Kind.STOCK_NOT_SOLD, True, "purchased"),
    Scenario(_reservation(state="EXPIRED"), Kind.STOCK_NOT_SOLD, True, "purchased"),
    Scenario(_delete_reservation, Kind.STOCK_NOT_SOLD, False, "purchased"),
    Scenario(_reservation(lines=OTHER_LINES), Kind.STOCK_DIFFERS, False, "purchased"),
    Scenario(_reservation(state="COMMITTED"), Kind.STOCK_NOT_RELEASED, True, "cancelled"),
    Scenario(_commit_without_order, Kind.STOCK_WITHOUT_ORDER, True, None),
    Scenario(_reserve_without_order, Kind.HOLD_OVERDUE, True, None),
    Scenario(_delete_redemption, Kind.PROMO_NOT_REDEEMED, True, "purchased", True),
    Scenario(_redemption(state="RELEASED"), Kind.PROMO_NOT_REDEEMED, False, "purchased", True),
    Scenario(_redemption(code="OTHER"), Kind.PROMO_DIFFERS, False, "purchased", True),
    Scenario(_redeem, Kind.PROMO_UNEXPECTED, True, "purchased", False),
    Scenario(_redemption(state="REDEEMED"), Kind.PROMO_NOT_RELEASED, True, "cancelled", True),
    Scenario(_redeem, Kind.PROMO_WITHOUT_ORDER, True, None),
    Scenario(_delete("orders"), Kind.INDEX_MISSING, True, "purchased"),
    Scenario(_delete("sagas"), Kind.SAGA_MISSING, True, "cancelled"),
    Scenario(_both(_place_undriven(HELD), _saga(due_at=None)), Kind.SAGA_NOT_DUE, True, None),
    Scenario(_both(_place_undriven(SOON), _delete("sagas")), Kind.SAGA_MISSING, True, None),
    Scenario(_saga(due_at=utc_now() + timedelta(days=1)), Kind.SAGA_DUE_IN_VAIN, True, "purchased"),
    # From here on injected once, all before twice.
    Scenario(
        _payment(status="VOIDED", refunded_amount=0), Kind.REFUND_TOO_SMALL, False, "cancelled"
    ),
    Scenario(_both(_place_undriven(-LONG_AGO), _age_events), Kind.ORDER_STALLED, False, None),
    Scenario(_delete("events", sequence=2), Kind.HISTORY_BROKEN, False, "purchased"),
    Scenario(_delete("events"), Kind.HISTORY_LOST, False, "cancelled"),
    Scenario(_reservation(state="RELEASED"), Kind.STOCK_NOT_SOLD, False, "purchased"),
)
REPEATED_SCENARIOS = SCENARIOS[:22]
