"""The orders of all customers in MongoDB, found by indexes whatever their number.

The marks of the collection `sagas` (codec.py) are written in the transaction of the change, so that
what waits to be shipped, and what was sold in a day, is a range of a small index.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pymongo
from pymongo.collection import Collection
from typing_extensions import override

from services.common.clock import Clock
from services.orders.overview.domain import Day, Filter, OpenDiscrepancy, Orders
from services.orders.repository import NOT_COMPLETE, WITH_EVENTS, to_order
from services.orders.store import open_database, store_call

MAX_COUNT = 1_000
"""How many of anything are counted at most: an owner who has more waiting knows enough."""
OVERDUE = timedelta(seconds=30)
"""How long after its lease a saga is stuck, if no instance takes it over."""
WAITS_TO_SHIP = {"to_ship_since": {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}}
Stages = Sequence[Mapping[str, Any]]


class ShopOrdersRepository(Protocol):
    """Finds orders of all customers."""

    def count_day(self, since: datetime) -> Day:
        """Return the numbers of the day that began at a moment."""

    def list_orders(self, which: Filter, *, page: int, limit: int) -> Orders:
        """Return a page of orders, in the order that Filter's proto names."""

    def find_by_number(self, beginning: str, *, limit: int) -> Orders:
        """Return the orders whose id begins with this, in lower case."""

    def list_discrepancies(self, limit: int) -> tuple[Sequence[OpenDiscrepancy], int]:
        """Return those that were found last, and how many are open."""


class MongoShopOrdersRepository(ShopOrdersRepository):
    """Finds orders in the collections `orders`, `sagas`, `events` and `discrepancies`."""

    def __init__(self, client: pymongo.MongoClient, *, clock: Clock) -> None:
        self._database = open_database(client)
        self._clock = clock

    @override
    def count_day(self, since: datetime) -> Day:
        database = self._database
        with store_call():
            sold_count, revenue = self._sum_sold(since)
            return Day(
                since=since,
                placed_count=database.orders.count_documents({"created_at": {"$gte": since}}),
                sold_count=sold_count,
                revenue=revenue,
                to_ship_count=_count(database.sagas, WAITS_TO_SHIP),
                stuck_count=_count(database.sagas, self._is_stuck()),
                discrepancy_count=_count(database.discrepancies, {}),
            )

    @override
    def list_orders(self, which: Filter, *, page: int, limit: int) -> Orders:
        match which:
            case Filter.TO_SHIP:
                collection, wanted, sort = self._database.sagas, WAITS_TO_SHIP, "to_ship_since"
            case Filter.STUCK:
                collection, wanted, sort = self._database.sagas, self._is_stuck(), "due_at"
            case Filter.RECENT:
                return self._list_recent(page=page, limit=limit)
        order = {sort: pymongo.ASCENDING}
        return _read(collection, wanted, {"$sort": order}, page=page, limit=limit)

    @override
    def find_by_number(self, beginning: str, *, limit: int) -> Orders:
        # The ids have the digits 0 to f and "-": all that begin so are before the letter g.
        wanted = {"_id": {"$gte": beginning, "$lt": f"{beginning}g"}}
        return _read(self._database.orders, wanted, {"$sort": {"_id": 1}}, page=1, limit=limit)

    @override
    def list_discrepancies(self, limit: int) -> tuple[Sequence[OpenDiscrepancy], int]:
        with store_call():
            newest = self._database.discrepancies.find().sort("found_at", pymongo.DESCENDING)
            found = [_to_discrepancy(each) for each in newest.limit(limit)]
            return found, _count(self._database.discrepancies, {})

    def _list_recent(self, *, page: int, limit: int) -> Orders:
        newest = {"$sort": {"created_at": pymongo.DESCENDING, "_id": pymongo.ASCENDING}}
        return _read(self._database.orders, {}, newest, page=page, limit=limit)

    def _is_stuck(self) -> dict[str, Any]:
        is_overdue = {"due_at": {"$lt": self._clock() - OVERDUE}}
        return NOT_COMPLETE | {"$or": [{"waits_for": {"$exists": True}}, is_overdue]}

    def _sum_sold(self, since: datetime) -> tuple[int, Decimal]:
        """Return how many orders were sold since a moment, and for how much."""
        sums = {"_id": None, "count": {"$sum": 1}, "cents": {"$sum": "$sold_cents"}}
        stages: Stages = [{"$match": {"sold_at": {"$gte": since}}}, {"$group": sums}]
        for found in self._database.sagas.aggregate(stages):
            return found["count"], Decimal(found["cents"]) / 100
        return 0, Decimal(0)


def _read(
    collection: Collection[dict[str, Any]],
    wanted: Mapping[str, Any],
    sort: Mapping[str, Any],
    *,
    page: int,
    limit: int,
) -> Orders:
    """Read a page of the orders that a collection lists; one without a history is left out."""
    of_page: Stages = [{"$skip": (page - 1) * limit}, {"$limit": limit}, WITH_EVENTS]
    with store_call():
        found = list(collection.aggregate([{"$match": wanted}, sort, *of_page]))
        total = _count(collection, wanted)
    return Orders(
        [to_order(each["_id"], each["events"]) for each in found if each["events"]], total
    )


def _count(collection: Collection[dict[str, Any]], wanted: Mapping[str, Any]) -> int:
    return collection.count_documents(wanted, limit=MAX_COUNT)


def _to_discrepancy(document: Mapping[str, Any]) -> OpenDiscrepancy:
    return OpenDiscrepancy(
        kind=document["_id"].partition("/")[2],
        order_id=document["order_id"],
        found_at=document["found_at"],
    )
