"""Ways in which the stores of the shop can come to differ, each planted into real ones."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from services.catalog.schema import reservations
from services.common.clock import utc_now
from services.orders.domain import Item, Order, OrderPlaced
from services.orders.reconciliation.domain import Kind
from services.payments.repository import payments
from tests.integration.order_shop import ADDRESS, ALICE, PRODUCTS, OrderShop

AGES_AGO = timedelta(minutes=20)
KIBBLE = Item(
    product_id=PRODUCTS[0],
    sku="prod_001",
    title="Kibble 1",
    category="dog-food",
    quantity=1,
    unit_price=Decimal("12.90"),
)
Plant = Callable[[OrderShop, str], object]


@dataclass(frozen=True)
class Planted:
    """What a comparison has to find, and whether it has to repair it."""

    order_id: str
    kind: Kind
    is_repaired: bool


@dataclass(frozen=True)
class Way:
    """A way to differ. `needs` is the order it takes: bought, cancelled, or None for a new one."""

    plant: Plant
    kind: Kind
    is_repaired: bool
    needs: str | None
    has_promo: bool | None = None

    def fits(self, order: Order) -> bool:
        """Return whether the stores can be made to differ in this way about an order."""
        is_bought = "bought" if order.is_bought else "cancelled"
        has_promo = bool(order.placed.promo_code)
        return self.needs == is_bought and self.has_promo in (None, has_promo)


def plant(shop: OrderShop, ways: Sequence[Way], victims: list[Order]) -> Iterator[Planted]:
    """Make the stores differ in every way, each time about another order."""
    for way in ways:
        if way.needs is None:
            order_id = str(uuid.uuid4())
            way.plant(shop, order_id)
        else:
            victim = next(order for order in victims if way.fits(order))
            victims.remove(victim)
            order_id = victim.order_id
            way.plant(shop, order_id)
        yield Planted(order_id, way.kind, way.is_repaired)


def _payment(**values: Any) -> Plant:
    def change(shop: OrderShop, order_id: str) -> None:
        with shop.payments_engine.begin() as connection:
            one = sa.update(payments).where(payments.c.order_id == order_id)
            connection.execute(one.values(values))

    return change


def _reservation(**values: Any) -> Plant:
    def change(shop: OrderShop, order_id: str) -> None:
        with shop.catalog_engine.begin() as connection:
            one = sa.update(reservations).where(reservations.c.order_id == order_id)
            connection.execute(one.values(values))

    return change


def _redemption(**values: Any) -> Plant:
    fields: dict[Any, Any] = values
    return lambda shop, order_id: shop.redis.hset(f"promotions:order:{order_id}", mapping=fields)


def _saga(**values: Any) -> Plant:
    def change(shop: OrderShop, order_id: str) -> None:
        shop.database.sagas.update_one({"_id": order_id}, {"$set": values})

    return change


def _lose(collection: str, **which: Any) -> Plant:
    key = "order_id" if collection == "events" else "_id"
    return lambda shop, order_id: shop.database[collection].delete_many({key: order_id} | which)


def _lose_payment(shop: OrderShop, order_id: str) -> None:
    with shop.payments_engine.begin() as connection:
        connection.execute(sa.delete(payments).where(payments.c.order_id == order_id))


def _lose_reservation(shop: OrderShop, order_id: str) -> None:
    with shop.catalog_engine.begin() as connection:
        connection.execute(sa.delete(reservations).where(reservations.c.order_id == order_id))


def _lose_redemption(shop: OrderShop, order_id: str) -> None:
    shop.redis.delete(f"promotions:order:{order_id}")
    shop.redis.zrem("promotions:by-order", order_id)


def _pay_for_nothing(shop: OrderShop, order_id: str) -> None:
    shop.payments_client.capture(order_id, ALICE, Decimal("12.90"), "EUR", "tok_ok")


def _hold_for_nothing(shop: OrderShop, order_id: str) -> None:
    shop.catalog_client.reserve(order_id, [KIBBLE], hold_seconds=900)
    _reservation(expires_at=utc_now() - AGES_AGO)(shop, order_id)


def _sell_to_nobody(shop: OrderShop, order_id: str) -> None:
    shop.catalog_client.reserve(order_id, [KIBBLE], hold_seconds=900)
    shop.catalog_client.commit(order_id)


def _redeem(shop: OrderShop, order_id: str) -> None:
    shop.promotions_client.redeem(order_id, "TEN", ALICE)


def _abandon(hold: timedelta) -> Plant:
    """Place an order that nobody carries on, held for a while."""

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
        shop.orders.place(
            order_id, placed, payment_token="tok_ok", due_at=utc_now() + timedelta(days=1)
        )

    return place


def _both(first: Plant, second: Plant) -> Plant:
    return lambda shop, order_id: (first(shop, order_id), second(shop, order_id))


def _long_ago(shop: OrderShop, order_id: str) -> None:
    change = {"$set": {"time": utc_now() - AGES_AGO}}
    shop.database.events.update_many({"order_id": order_id}, change)


UNPAID = _payment(status="CAPTURED", refunded_amount=0, close_reason="")
OTHER_LINES = [{"product_id": PRODUCTS[4], "quantity": 99}]
SOON, HELD = timedelta(seconds=1), timedelta(minutes=10)

WAYS = (
    Way(_lose_payment, Kind.ORDER_NOT_PAID, False, "bought"),
    Way(_payment(amount=1), Kind.PAYMENT_DIFFERS, False, "bought"),
    Way(UNPAID, Kind.PAYMENT_NOT_RETURNED, True, "cancelled"),
    Way(_pay_for_nothing, Kind.PAYMENT_WITHOUT_ORDER, True, None),
    Way(_reservation(state="HELD"), Kind.STOCK_NOT_SOLD, True, "bought"),
    Way(_reservation(state="EXPIRED"), Kind.STOCK_NOT_SOLD, True, "bought"),
    Way(_lose_reservation, Kind.STOCK_NOT_SOLD, False, "bought"),
    Way(_reservation(lines=OTHER_LINES), Kind.STOCK_DIFFERS, False, "bought"),
    Way(_reservation(state="COMMITTED"), Kind.STOCK_NOT_RELEASED, True, "cancelled"),
    Way(_sell_to_nobody, Kind.STOCK_WITHOUT_ORDER, True, None),
    Way(_hold_for_nothing, Kind.HOLD_OVERDUE, True, None),
    Way(_lose_redemption, Kind.PROMO_NOT_REDEEMED, True, "bought", True),
    Way(_redemption(state="RELEASED"), Kind.PROMO_NOT_REDEEMED, False, "bought", True),
    Way(_redemption(code="OTHER"), Kind.PROMO_DIFFERS, False, "bought", True),
    Way(_redeem, Kind.PROMO_UNEXPECTED, True, "bought", False),
    Way(_redemption(state="REDEEMED"), Kind.PROMO_NOT_RELEASED, True, "cancelled", True),
    Way(_redeem, Kind.PROMO_WITHOUT_ORDER, True, None),
    Way(_lose("orders"), Kind.INDEX_MISSING, True, "bought"),
    Way(_lose("sagas"), Kind.SAGA_MISSING, True, "cancelled"),
    Way(_both(_abandon(HELD), _saga(due_at=None)), Kind.SAGA_NOT_DUE, True, None),
    Way(_both(_abandon(SOON), _lose("sagas")), Kind.SAGA_MISSING, True, None),
    Way(_saga(due_at=utc_now() + timedelta(days=1)), Kind.SAGA_DUE_IN_VAIN, True, "bought"),
    # From here on once: the other ways are planted twice.
    Way(_payment(status="VOIDED", refunded_amount=0), Kind.REFUND_TOO_SMALL, False, "cancelled"),
    Way(_both(_abandon(-AGES_AGO), _long_ago), Kind.ORDER_STALLED, False, None),
    Way(_lose("events", sequence=2), Kind.HISTORY_BROKEN, False, "bought"),
    Way(_lose("events"), Kind.HISTORY_LOST, False, "cancelled"),
    Way(_reservation(state="RELEASED"), Kind.STOCK_NOT_SOLD, False, "bought"),
)
TWICE = WAYS[:22]
