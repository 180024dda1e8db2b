"""Upstreams of orders in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from typing_extensions import override

from services.orders.errors import OutOfStockError, PromoInvalidError
from services.orders.events import Item
from services.orders.ports import (
    Captured,
    Catalog,
    Declined,
    Payments,
    Promotions,
    ServiceUnavailableError,
    UpstreamRejectedError,
)
from services.orders.tests.fakes import HOLD_ENDS, KIBBLE


class FakeUpstream:
    """An upstream with scripted failures; `calls` are the methods that were called.

    `unavailable` are the methods that fail with ServiceUnavailableError; `rejections` maps
    methods to the reason of an UpstreamRejectedError.
    """

    def __init__(self) -> None:
        self.unavailable: set[str] = set()
        self.rejections: dict[str, str] = {}
        self.calls: list[str] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.unavailable:
            raise ServiceUnavailableError(name)
        if reason := self.rejections.get(name):
            raise UpstreamRejectedError(reason)


class FakeCatalog(FakeUpstream, Catalog):
    """A catalog with one product, of which `on_sale` units are left; reservations are keyed."""

    def __init__(self) -> None:
        super().__init__()
        self.on_sale = 10
        self.reserved: dict[str, int] = {}

    @override
    def get_item(self, product: str, quantity: int) -> Item | None:
        self._called("get_item")
        if product not in (KIBBLE.sku, KIBBLE.product_id):
            return None
        return replace(KIBBLE, quantity=quantity)

    @override
    def reserve(self, order_id: str, items: Sequence[Item], *, hold_seconds: int) -> datetime:
        self._called("reserve")
        if order_id not in self.reserved:
            if items[0].quantity > self.on_sale:
                raise OutOfStockError({items[0].product_id: self.on_sale})
            self.reserved[order_id] = items[0].quantity
            self.on_sale -= items[0].quantity
        return HOLD_ENDS

    @override
    def commit(self, order_id: str) -> None:
        self._called("commit")

    @override
    def release(self, order_id: str) -> None:
        self._called("release")


class FakePromotions(FakeUpstream, Promotions):
    """Promotions with one code, for ten percent; `redeemed` are the orders that use it."""

    def __init__(self) -> None:
        super().__init__()
        self.redeemed: set[str] = set()
        self.max_uses = 1_000

    @override
    def get_discount(
        self, order_id: str, promo_code: str, user_id: str, items: Sequence[Item]
    ) -> Decimal:
        self._called("get_discount")
        if promo_code != "WELCOME10":
            raise PromoInvalidError(promo_code, "CODE_UNKNOWN")
        if len(self.redeemed - {order_id}) >= self.max_uses:
            raise PromoInvalidError(promo_code, "CODE_EXHAUSTED")
        return sum((item.total for item in items), Decimal(0)) / 10

    @override
    def redeem(self, order_id: str, promo_code: str, user_id: str) -> None:
        self._called("redeem")
        self.redeemed.add(order_id)

    @override
    def release(self, order_id: str, promo_code: str) -> None:
        self._called("release")


class FakePayments(FakeUpstream, Payments):
    """Payments that are captured, unless `decline_reason` is set; refunds are of `refunded`."""

    def __init__(self) -> None:
        super().__init__()
        self.decline_reason = ""
        self.refunded = Decimal("0.00")

    @override
    def capture(
        self, order_id: str, user_id: str, amount: Decimal, currency: str, token: str
    ) -> Captured | Declined:
        self._called("capture")
        return Declined(self.decline_reason) if self.decline_reason else Captured("payment")

    @override
    def refund(self, order_id: str, reason: str) -> Decimal:
        self._called("refund")
        return self.refunded
