"""The orders of all customers in memory, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from typing_extensions import override

from services.orders.domain import Order
from services.orders.overview.domain import Day, Filter, OpenDiscrepancy, Orders
from services.orders.overview.repository import ShopOrdersRepository


class InMemoryShopOrdersRepository(ShopOrdersRepository):
    """Lists given orders; `asked` is what it was asked for."""

    def __init__(self, *orders: Order, day: Day, discrepancies: Sequence[OpenDiscrepancy]) -> None:
        self._orders = orders
        self._day = day
        self._discrepancies = discrepancies
        self.asked: list[tuple[object, ...]] = []

    @override
    def count_day(self, since: datetime) -> Day:
        return replace(self._day, since=since)

    @override
    def list_orders(self, which: Filter, *, page: int, limit: int) -> Orders:
        self.asked.append((which, page, limit))
        return Orders(self._orders, len(self._orders))

    @override
    def find_by_number(self, beginning: str, *, limit: int) -> Orders:
        found = [order for order in self._orders if order.order_id.startswith(beginning)]
        return Orders(found[:limit], len(found))

    @override
    def list_discrepancies(self, limit: int) -> tuple[Sequence[OpenDiscrepancy], int]:
        return self._discrepancies[:limit], len(self._discrepancies)
